"""Fields of requests that take what the schema says, where DRF's take more, and write times quickly."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

from django.db import models
from rest_framework import serializers

INTEGER = re.compile(r"[+-]?[0-9]+(\.0*)?")
Row = TypeVar("Row", bound=models.Model)


class TextField(serializers.CharField):
    """A JSON string. DRF's takes numbers too, and a name 007 would become 7.

    Accents are composed (NFC), so that a text is found and compared however they were typed.
    """

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return unicodedata.normalize("NFC", str(super().to_internal_value(data)))


class IntegerField(serializers.IntegerField):
    """A JSON number, or a text of digits as forms and tables have it. DRF's takes what Python's int does,
    such as 1_0.
    """

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str) and not INTEGER.fullmatch(data.strip()):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class YesOrNoField(serializers.BooleanField):
    """A JSON boolean, or a word for one as forms and tables have it. DRF's takes the numbers 0 and 1 too."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool | str):
            self.fail("invalid", input=data)
        return bool(super().to_internal_value(data))


def time_shown(value: datetime) -> str:
    """RFC 3339 of a time in UTC."""
    return value.isoformat().removesuffix("+00:00") + "Z"


class TimeField(serializers.DateTimeField):
    """RFC 3339 in UTC. DRF looks for the zone to show each value in: a third of the time of a list."""

    def to_internal_value(self, value: Any) -> datetime:
        """Take t and z too (RFC 3339, section 5.6)."""
        return super().to_internal_value(value.upper() if isinstance(value, str) else value)

    def to_representation(self, value: datetime) -> str:
        return time_shown(value) if value.tzinfo is UTC else str(super().to_representation(value))


class StrictModelSerializer(serializers.ModelSerializer[Row]):
    serializer_field_mapping: ClassVar = {
        **serializers.ModelSerializer.serializer_field_mapping,
        models.CharField: TextField,
        models.TextField: TextField,
        models.BooleanField: YesOrNoField,
        models.IntegerField: IntegerField,
        models.PositiveIntegerField: IntegerField,
        models.DateTimeField: TimeField,
    }
