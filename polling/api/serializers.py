"""Shapes of polling on the wire."""

import re
from typing import Any

from rest_framework import serializers

HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?|[0-9A-Fa-f:.]+")


class CredentialTestSerializer(serializers.Serializer[Any]):
    """Where to try a credential; the port is the plugin's own where none is given."""

    target = serializers.CharField(max_length=253, help_text="An address, or a host name.")
    port = serializers.IntegerField(min_value=1, max_value=65_535, required=False)

    def validate_target(self, value: str) -> str:
        if not HOST.fullmatch(value):
            raise serializers.ValidationError("Must be one address or one host name.")
        return value


class CredentialTestedSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    error_code = serializers.CharField(
        help_text="Empty for a success, else one of the plugin protocol's codes."
    )
    message = serializers.CharField(help_text="What came of it, in words.")
    hostname = serializers.CharField()
    duration_ms = serializers.FloatField(allow_null=True)
    document = serializers.JSONField(allow_null=True, help_text="What a poll would store.")
