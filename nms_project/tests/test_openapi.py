"""The OpenAPI description: complete, and drf-spectacular has nothing to complain about."""

from io import StringIO

from django.core.management import call_command
from rest_framework.test import APIClient

from nms_project.openapi import METHODS


def test_the_schema_has_no_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_every_operation_describes_its_errors() -> None:
    schema = APIClient().get("/api/v1/schema", {"format": "json"}).json()
    operations = [
        operation
        for path in schema["paths"].values()
        for method, operation in path.items()
        if method in METHODS
    ]
    assert len(operations) > 50
    for operation in operations:
        assert {"400", "401", "403", "404", "429", "503"} <= set(operation["responses"])
        shown = operation["responses"]["429"]["content"]["application/json"]["schema"]
        assert shown == {"$ref": "#/components/schemas/Error"}
