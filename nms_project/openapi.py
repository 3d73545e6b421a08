"""The description of the API: made once a process, with the one shape that all errors have at every operation
that can answer with them.
"""

import json
import threading
from pathlib import Path
from typing import Any, ClassVar

from drf_spectacular.generators import SchemaGenerator

from nms_project.api import ID_PATTERN

EXAMPLES = Path(__file__).with_name("api_examples.json")

ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "status"],
            "properties": {
                "code": {"type": "string", "description": "For programs, such as `invalid` or `conflict`."},
                "message": {"type": "string", "description": "For people: what is wrong, and the remedy."},
                "status": {"type": "integer", "description": "The HTTP status once more."},
                "fields": {
                    "type": "object",
                    "description": "Each wrong field with what is wrong with it.",
                    "additionalProperties": {"type": "array", "items": {"type": "string"}},
                },
            },
        }
    },
}
DESCRIPTIONS = {
    "400": "The request is not valid; `fields` says what is wrong.",
    "401": "No login, or one that does not count any more.",
    "403": "The login may not do this; the message names the permission.",
    "404": "There is no such object, or no such page.",
    "406": "None of the formats asked for can be given.",
    "409": "The change conflicts with another object.",
    "413": "The body is too large.",
    "414": "The address is longer than 8,190 bytes.",
    "415": "The body is in no format that is taken here.",
    "429": "Too many requests; `Retry-After` says when to come back.",
    "503": "A server this request needs is away; `Retry-After` says when to try again.",
}
# A login has no security requirement, and answers 401 all the same.
ALWAYS = ("400", "401", "403", "404", "406", "414", "429", "503")

WRITING = ("409", "413", "415")
MAX_PATH_ID = 10**18 - 1
METHODS = {"get", "post", "put", "patch", "delete"}


class OnceGenerator(SchemaGenerator):
    """The same for everybody, it is made by the first who asks: it takes long, and drf-spectacular loads its
    extensions in a way that fails when two threads do it at once.
    """

    _lock: ClassVar[threading.Lock] = threading.Lock()
    _made: ClassVar[dict[str, Any]] = {}

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        with self._lock:
            if not self._made:
                made = super().get_schema(request=request, public=public)  # type: ignore[no-untyped-call]  # has none
                self._made.update(made)
            return self._made


def errors_describe(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook of drf-spectacular. What an operation describes itself stays as it is."""
    result["components"]["schemas"]["Error"] = ERROR
    for path in result["paths"].values():
        for method, operation in path.items():
            if method in METHODS:
                for status in ALWAYS if method == "get" else (*ALWAYS, *WRITING):
                    operation["responses"].setdefault(status, _response(status))
    return result


def examples_add(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook: what a running server was sent and answered, by operation."""
    examples = json.loads(EXAMPLES.read_text())
    for path in result["paths"].values():
        for method, operation in path.items():
            if method in METHODS:
                _example_add(operation, **examples.get(operation["operationId"], {}))
    return result


def _example_add(operation: dict[str, Any], request: Any = None, response: Any = None) -> None:
    if request is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = request
    good = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    contents = [content for answer in good for content in answer.get("content", {}).values()]
    if response is not None and contents:
        contents[0]["example"] = response


def puts_keep(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Describe that a PUT may leave fields out, as a PATCH may."""
    for operations in result["paths"].values():
        if "put" in operations and "patch" in operations:
            operations["put"]["requestBody"] = operations["patch"]["requestBody"]
    return result


def ids_are_numbers(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A postprocessing hook: an id is a number to clients, whatever expression its route is found by."""
    for path in result["paths"].values():
        for method, operation in path.items():
            for parameter in operation.get("parameters", ()) if method in METHODS else ():
                if parameter["in"] == "path" and parameter["schema"].get("pattern") == f"^{ID_PATTERN}$":
                    parameter["schema"] = {
                        "type": "integer",
                        "format": "int64",
                        "minimum": 1,
                        "maximum": MAX_PATH_ID,
                    }
    return result


def _response(status: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Error"}
    if status == "414":  # the web server refuses it before we see it
        return {"description": DESCRIPTIONS[status], "content": {"text/html": {"schema": {"type": "string"}}}}
    return {"description": DESCRIPTIONS[status], "content": {"application/json": {"schema": schema}}}
