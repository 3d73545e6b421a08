"""The OpenAPI description: complete, without a warning, and with examples that keep to it."""

from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from nms_project.openapi import METHODS


@pytest.fixture(scope="module")
def schema() -> Any:
    return APIClient().get("/api/v1/schema", {"format": "json"}).json()


def operations(schema: Any) -> Iterator[Any]:
    for path in schema["paths"].values():
        yield from (operation for method, operation in path.items() if method in METHODS)


def test_the_schema_has_no_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_every_operation_describes_its_errors(schema: Any) -> None:
    described = list(operations(schema))
    assert len(described) > 50
    for operation in described:
        assert {"400", "401", "403", "404", "429", "503"} <= set(operation["responses"])
        shown = operation["responses"]["429"]["content"]["application/json"]["schema"]
        assert shown == {"$ref": "#/components/schemas/Error"}


def contents(operation: Any) -> Iterator[Any]:
    """The body that is taken and the one that is answered, where there are such."""
    yield from list(operation.get("requestBody", {}).get("content", {}).values())[:1]
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            yield from list(answer.get("content", {}).values())[:1]


def test_every_body_has_an_example_that_keeps_to_its_schema(schema: Any) -> None:
    components = as_json_schema(schema["components"])
    for operation in operations(schema):
        for content in contents(operation):
            assert "example" in content, operation["operationId"]
            if content["schema"].get("format") != "binary":
                body = {**as_json_schema(content["schema"]), "components": components}
                wrong = [
                    error.message for error in Draft202012Validator(body).iter_errors(content["example"])
                ]
                assert not wrong, operation["operationId"]


def as_json_schema(part: Any) -> Any:
    """OpenAPI 3.0 says `nullable` where JSON Schema has a type for it."""
    if isinstance(part, list):
        return [as_json_schema(each) for each in part]
    if not isinstance(part, dict):
        return part
    plain = {name: as_json_schema(value) for name, value in part.items() if name != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if part.get("nullable") is True else plain


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["docs", "redoc"])
def test_the_pages_about_it_are_only_read(anonymous: APIClient, page: str) -> None:
    assert anonymous.options(f"/api/v1/{page}").status_code == 405
    assert anonymous.get(f"/api/v1/{page}").status_code == 200
