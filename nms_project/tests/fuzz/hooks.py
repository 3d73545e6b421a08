"""What the API accepts or refuses for reasons that OpenAPI cannot say; schemathesis reports all the rest."""

import json
from typing import Any

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import RejectedPositiveData, UseAfterFree

# By resource: rules about several fields, other objects, or a little language. Refusals must name the field.
RULES_BEYOND_THE_SCHEMA = {
    "credentials": "payloads by the plugin's schema",
    "devices": "references to other objects, ports and plugins that fit together",
    "discovery_profiles": "targets, references to other objects",
    "metrics": "paths, ranges whose start is before their end",
    "completeness": "ranges",
    "audit": "ranges",
    "auth": "dates of expiry that have not passed",
}


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """False drops a failure."""
    if response.status_code == 414:  # a line so long is not read, whatever else is wrong with it
        return False
    if isinstance(failure, AcceptedNegativeData):
        return not (_is_not_given(case) or case.path.endswith("/import/"))  # a report by row is the answer
    if isinstance(failure, RejectedPositiveData):
        return not _is_explained(case, response)
    # A token is revoked, and stays in the list as such.
    return not (isinstance(failure, UseAfterFree) and _resource(case.path) == "auth")


def _resource(path: str) -> str:
    return path.removeprefix("/api/v1").strip("/").split("/")[0]


def _is_not_given(case: Any) -> bool:
    """An HTML form sends each of its fields, those left empty too: `?start=`."""
    return "" in (case.query or {}).values()


def _is_explained(case: Any, response: Any) -> bool:
    if response.status_code != 400 or _resource(case.path) not in RULES_BEYOND_THE_SCHEMA:
        return False
    return bool(json.loads(response.content)["error"].get("fields"))
