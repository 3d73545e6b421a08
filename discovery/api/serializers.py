"""Shapes of discovery profiles, runs and results on the wire."""

from typing import Any, ClassVar

from django.conf import settings
from django.db import transaction
from rest_framework import serializers

from devices.api.serializers import ProfileNameField, port_check
from devices.models import CredentialProfile
from devices.plugins import plugin_find
from devices.services import row_update
from discovery.models import DiscoveryProfile, DiscoveryResult, DiscoveryRun
from discovery.services import (
    MAX_FALLBACKS,
    TOO_MANY_FALLBACKS,
    credentials_settle,
    fallbacks_check,
    fallbacks_set,
)
from discovery.targets import target_check
from nms_project.errors import InvalidInput
from nms_project.fields import IntegerField, StrictModelSerializer
from nms_project.filters import MAX_ID


class FallbackIdsField(serializers.ListField):
    """Ids of credential profiles, in the order in which they are tried; one query for all."""

    child = IntegerField(min_value=1, max_value=MAX_ID)

    def to_internal_value(self, data: Any) -> list[CredentialProfile]:
        if isinstance(data, list) and len(data) > MAX_FALLBACKS:
            raise serializers.ValidationError(TOO_MANY_FALLBACKS)
        ids = super().to_internal_value(data)
        found = CredentialProfile.objects.in_bulk(ids)
        missing = [pk for pk in ids if pk not in found]
        if missing:
            raise serializers.ValidationError(
                f"There is no credential profile {missing[0]}: it does not exist."
            )
        return [found[pk] for pk in ids]

    def to_representation(self, data: Any) -> list[int]:
        return [fallback.credential_profile_id for fallback in data.all()]


class DiscoveryProfileRules(StrictModelSerializer[DiscoveryProfile]):
    """What holds for a discovery profile however its credential profiles are named."""

    port = IntegerField(min_value=0, max_value=65_535, required=False)

    class Meta:
        model = DiscoveryProfile
        fields: tuple[str, ...] = ("name", "target", "port")
        # A taken name is the database's to find, as a 409.
        extra_kwargs: ClassVar[dict[str, Any]] = {"name": {"validators": []}}

    def validate_target(self, value: str) -> str:
        target_check(value, settings.NMS_MAX_TARGETS)
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        credential = attrs.get("credential_profile") or getattr(self.instance, "credential_profile", None)
        assert credential is not None  # noqa: S101 (required, or kept from the instance)
        if self.instance is None and "port" not in attrs:
            plugin = plugin_find(credential.protocol)
            attrs["port"] = plugin.default_port if plugin else 0
        if "port" in attrs or "credential_profile" in attrs:
            port_check(credential.protocol, attrs.get("port", getattr(self.instance, "port", 0)))
        fallbacks = attrs.get("fallback_credentials")
        if fallbacks is None and self.instance is not None:
            fallbacks = self.instance.credential_profiles()[1:]
        fallbacks_check(credential, fallbacks or [])
        return attrs

    @transaction.atomic
    def create(self, validated_data: dict[str, Any]) -> DiscoveryProfile:
        fallbacks = validated_data.pop("fallback_credentials", [])
        profile = super().create(validated_data)
        fallbacks_set(profile, fallbacks)
        credentials_settle(profile, [profile.credential_profile, *fallbacks])
        return profile

    @transaction.atomic
    def update(self, instance: DiscoveryProfile, validated_data: dict[str, Any]) -> DiscoveryProfile:
        fallbacks = validated_data.pop("fallback_credentials", None)
        profile = row_update(instance, **validated_data)
        if fallbacks is not None:
            fallbacks_set(profile, fallbacks)
        credentials_settle(profile, [validated_data.get("credential_profile"), *(fallbacks or [])])
        return profile


class DiscoveryProfileSerializer(DiscoveryProfileRules):
    credential_profile_id = serializers.PrimaryKeyRelatedField(
        source="credential_profile",
        queryset=CredentialProfile.objects.all(),
        pk_field=IntegerField(min_value=1, max_value=MAX_ID),
    )
    fallback_credential_profile_ids = FallbackIdsField(
        source="fallback_credentials", required=False, max_length=MAX_FALLBACKS
    )

    class Meta(DiscoveryProfileRules.Meta):
        fields = (
            "id",
            "name",
            "target",
            "port",
            "credential_profile_id",
            "fallback_credential_profile_ids",
            "ping_first",
            "auto_provision",
            "polling_interval_seconds",
            "created_at",
            "updated_at",
        )


class ProfileNamesField(serializers.ListField):
    """Names of credential profiles: a list, or a text with one in each line, as a cell of a table has it."""

    child = ProfileNameField()

    def to_internal_value(self, data: Any) -> list[CredentialProfile]:
        names = [name.strip() for name in data.split("\n")] if isinstance(data, str) else data
        if isinstance(names, list) and len(names) > MAX_FALLBACKS:
            raise serializers.ValidationError(TOO_MANY_FALLBACKS)
        return list(super().to_internal_value(names))


class DiscoveryRowSerializer(DiscoveryProfileRules):
    """A row of a table of discovery profiles, with credential profiles by their names."""

    credential_profile = ProfileNameField(help_text="Its name.")
    fallback_credential_profiles = ProfileNamesField(
        source="fallback_credentials", required=False, help_text="Names; in a cell, one in each line."
    )

    class Meta(DiscoveryProfileRules.Meta):
        fields = (
            "name",
            "target",
            "port",
            "credential_profile",
            "fallback_credential_profiles",
            "ping_first",
            "auto_provision",
            "polling_interval_seconds",
        )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        try:
            return super().validate(attrs)
        except InvalidInput as error:  # of the ids that a row has names for
            wrong = {name.replace("profile_ids", "profiles"): texts for name, texts in error.fields.items()}
            raise InvalidInput(wrong) from None


class DiscoveryRunSerializer(serializers.ModelSerializer[DiscoveryRun]):
    profile_id = IntegerField(read_only=True)
    done = IntegerField(read_only=True)
    found = IntegerField(read_only=True)
    created = IntegerField(read_only=True)
    failed = IntegerField(read_only=True)

    class Meta:
        model = DiscoveryRun
        fields = (
            "id",
            "profile_id",
            "status",
            "total",
            "done",
            "found",
            "created",
            "failed",
            "error",
            "created_at",
            "started_at",
            "finished_at",
        )


class DiscoveryResultSerializer(serializers.ModelSerializer[DiscoveryResult]):
    device_id = IntegerField(read_only=True, allow_null=True)

    class Meta:
        model = DiscoveryResult
        fields = ("target", "outcome", "error_code", "error", "hostname", "device_id")


class RunStartedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    profile_id = IntegerField()
    run_id = IntegerField()
