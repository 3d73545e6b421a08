"""Rows of an import, from the body of a request to checked fields."""

from collections.abc import Mapping, Sequence
from typing import Any

from rest_framework import serializers
from rest_framework.parsers import BaseParser

from devices.api.serializers import DeviceRowSerializer
from devices.models import CredentialProfile
from devices.transfer import MAX_ROWS, csv_rows
from nms_project.errors import InvalidInput

Checked = tuple[dict[str, Any], Mapping[str, Sequence[str]]]


class CSVParser(BaseParser):
    media_type = "text/csv"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        try:
            return csv_rows(stream.read().decode("utf-8"))
        except UnicodeDecodeError as error:
            raise InvalidInput({"body": [f"Is no UTF-8, at byte {error.start}."]}) from None


def rows_check(data: Any) -> list[Checked]:
    """The fields of each row, or what is wrong with them by column. Raises InvalidInput for what is no list
    of rows.
    """
    if not isinstance(data, list):
        raise InvalidInput({"body": ["Must be a list of rows, or CSV sent as text/csv."]})
    if len(data) > MAX_ROWS:
        raise InvalidInput(
            {"rows": [f"At most {MAX_ROWS:,} rows are taken at once; there are {len(data):,}."]}
        )
    profiles = {profile.name: profile for profile in CredentialProfile.objects.all()}
    form = DeviceRowSerializer(context={"profiles": profiles})
    return [_check(form, row) for row in data]


def _check(form: DeviceRowSerializer, row: Any) -> Checked:
    """One form for all rows: making one costs more than using it."""
    if row is None:
        return {}, {"row": ["Must be an object, not null."]}
    try:
        return dict(form.run_validation(row)), {}
    except serializers.ValidationError as error:
        detail: Any = error.detail
        return {}, {name: [str(text) for text in texts] for name, texts in detail.items()}
