"""The OpenAPI description: complete, and drf-spectacular has nothing to complain about."""

from io import StringIO

from django.core.management import call_command


def test_the_schema_has_no_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())
