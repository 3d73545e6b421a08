"""Shapes of metric queries and answers."""

from typing import Any

from rest_framework import serializers

from metrics.queries import path_parse

MAX_DEVICES = 500
MAX_LIMIT = 1_000
MAX_ID = 2**63 - 1


class MetricQuerySerializer(serializers.Serializer[Any]):
    device_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=MAX_ID), min_length=1, max_length=MAX_DEVICES
    )
    path = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        trim_whitespace=False,
        help_text="Dotted, like cpu.total; empty for the whole document.",
    )
    start = serializers.DateTimeField(required=False, help_text="Default: one hour before end.")
    end = serializers.DateTimeField(required=False, help_text="Default: now.")
    limit = serializers.IntegerField(
        required=False, default=100, min_value=1, max_value=MAX_LIMIT, help_text="Values for each device."
    )

    def validate_path(self, value: str) -> list[str]:
        try:
            return path_parse(value)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None


class PointSerializer(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    value = serializers.JSONField()


class SeriesSerializer(serializers.Serializer[Any]):
    device_id = serializers.IntegerField()
    results = PointSerializer(many=True)
    as_of = serializers.DateTimeField(allow_null=True)
    stale = serializers.BooleanField()
