"""Shapes of credential profiles and devices on the wire."""

from typing import Any, ClassVar

from django.apps import apps
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from devices import services
from devices.addresses import SCOPED, host_address_check
from devices.bulk import MAX_DEVICES, Outcome
from devices.credentials import HIDDEN, credential_update, payload_encrypted_for, protocol_change_check
from devices.models import (
    INTERVAL_VALIDATORS,
    CredentialProfile,
    Deletion,
    Device,
    DeviceStatus,
    one_line_check,
    port_error,
)
from devices.plugins import plugin_find, plugin_ids
from nms_project.fields import (
    IntegerField,
    StrictModelSerializer,
    TextField,
    TimeField,
    YesOrNoField,
    time_shown,
)
from nms_project.filters import ADDRESS_SCHEMA, MAX_ID
from plugins.registry import Plugin


@extend_schema_field({"oneOf": [{"type": "object"}, {"type": "string"}]})
class PayloadField(serializers.Field[Any, Any, str, Any]):
    """Takes an object or a string; never shows anything but the mask."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> str:
        return HIDDEN


class CredentialSerializer(StrictModelSerializer[CredentialProfile]):
    payload = PayloadField(source="encrypted_payload", required=False, allow_null=True)

    class Meta:
        model = CredentialProfile
        fields: tuple[str, ...] = (
            "id",
            "name",
            "description",
            "protocol",
            "payload",
            "created_at",
            "updated_at",
        )
        # Uniqueness is the database's to judge, as a 409: a look before the write would race.
        extra_kwargs: ClassVar[dict[str, Any]] = {"name": {"validators": [one_line_check]}}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        protocol = attrs.get("protocol") or (self.instance.protocol if self.instance else "")
        if self.instance:
            protocol_change_check(self.instance, protocol)
        sent = attrs.pop("encrypted_payload", None)
        encrypted = payload_encrypted_for(self.instance, protocol, sent)
        if encrypted is not None:
            attrs["encrypted_payload"] = encrypted
        return attrs

    def update(self, instance: CredentialProfile, validated_data: dict[str, Any]) -> CredentialProfile:
        return credential_update(instance, **validated_data)


# `error` is for the system to say.
SETTABLE = [choice for choice in DeviceStatus.choices if choice[0] != DeviceStatus.ERROR]
IMMUTABLE = ("credential_profile", "discovery_profile")


@extend_schema_field(ADDRESS_SCHEMA)
class AddressField(serializers.IPAddressField):
    """A host's address that means the same on every machine: none with a scope, such as fe80::1%eth0."""

    default_validators = [host_address_check]

    def to_internal_value(self, data: Any) -> str:
        if isinstance(data, str) and "%" in data:
            raise serializers.ValidationError(SCOPED)
        return str(super().to_internal_value(data))


class StatusField(serializers.ChoiceField):
    """What was read may be written back: `error` of a device that is in it is no change."""

    def to_internal_value(self, data: Any) -> str:
        device = self.parent.instance
        if data == DeviceStatus.ERROR and isinstance(device, Device) and device.status == DeviceStatus.ERROR:
            raise serializers.SkipField
        return str(super().to_internal_value(data))


class DeviceSerializer(StrictModelSerializer[Device]):
    hostname = TextField(max_length=255, required=False, validators=[one_line_check])
    ip_address = AddressField(label="IP address")
    plugin_id = TextField(max_length=32, required=False)
    port = IntegerField(min_value=0, max_value=65_535, required=False)
    credential_profile_id = serializers.PrimaryKeyRelatedField(
        source="credential_profile",
        queryset=CredentialProfile.objects.all(),
        pk_field=IntegerField(min_value=1, max_value=MAX_ID),
    )
    discovery_profile_id = serializers.PrimaryKeyRelatedField(
        source="discovery_profile",
        # By name: discovery stands above devices, which must not import it.
        queryset=apps.get_model("discovery", "DiscoveryProfile")._default_manager.all(),
        pk_field=IntegerField(min_value=1, max_value=MAX_ID),
        required=False,
        allow_null=True,
    )
    status = StatusField(choices=SETTABLE, required=False)
    last_polled_at = TimeField(source="poll_state.last_polled_at", read_only=True, allow_null=True)
    last_verdict = serializers.CharField(source="poll_state.last_verdict", read_only=True, allow_null=True)
    next_poll_at = TimeField(source="poll_state.next_poll_at", read_only=True, allow_null=True)

    class Meta:
        model = Device
        fields = (
            "id",
            "hostname",
            "ip_address",
            "plugin_id",
            "port",
            "credential_profile_id",
            "discovery_profile_id",
            "polling_interval_seconds",
            "should_ping",
            "remembered",
            "status",
            "status_reason",
            "status_since",
            "last_polled_at",
            "last_verdict",
            "next_poll_at",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("remembered", "status_reason", "status_since")
        extra_kwargs = {"polling_interval_seconds": {"required": False}, "should_ping": {"required": False}}
        validators: list[Any] = []  # a taken address is the database's to find, as a 409

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Written out: DRF looks up for each device how to show each of its fields, a fifth of a list's time.
        `error` is shown as a status, though nobody can set it.

        `instance` is a device, or a row of views.DevicePaginator.
        """
        state = getattr(instance, "poll_state", None) if isinstance(instance, Device) else instance
        return {
            "id": instance.id,
            "hostname": instance.hostname,
            "ip_address": instance.ip_address,
            "plugin_id": instance.plugin_id,
            "port": instance.port,
            "credential_profile_id": instance.credential_profile_id,
            "discovery_profile_id": instance.discovery_profile_id,
            "polling_interval_seconds": instance.polling_interval_seconds,
            "should_ping": instance.should_ping,
            "remembered": instance.remembered,
            "status": instance.status,
            "status_reason": instance.status_reason,
            "status_since": time_shown(instance.status_since),
            "last_polled_at": state and state.last_polled_at and time_shown(state.last_polled_at),
            "last_verdict": state and state.last_verdict,
            "next_poll_at": state and state.next_poll_at and time_shown(state.next_poll_at),
            "created_at": time_shown(instance.created_at),
            "updated_at": time_shown(instance.updated_at),
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is None:
            self._fill_defaults(attrs)
        else:
            self._check_immutable(attrs)
        self._check_plugin_and_port(attrs)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Device:
        return services.device_create(**validated_data)

    def update(self, instance: Device, validated_data: dict[str, Any]) -> Device:
        return services.device_update(instance, **validated_data)

    def _fill_defaults(self, attrs: dict[str, Any]) -> None:
        attrs.setdefault("plugin_id", attrs["credential_profile"].protocol)
        attrs.setdefault("hostname", attrs["ip_address"])
        plugin = plugin_find(attrs["plugin_id"])
        if plugin is not None:
            attrs.setdefault("port", plugin.default_port)

    def _check_immutable(self, attrs: dict[str, Any]) -> None:
        for name in IMMUTABLE:
            if name in attrs and attrs[name] != getattr(self.instance, name):
                raise serializers.ValidationError({f"{name}_id": ["Cannot be changed after creation."]})

    def _check_plugin_and_port(self, attrs: dict[str, Any]) -> None:
        plugin_id = str(attrs.get("plugin_id") or getattr(self.instance, "plugin_id", ""))
        credential = attrs.get("credential_profile") or getattr(self.instance, "credential_profile", None)
        if credential is not None and plugin_id != credential.protocol:
            message = f"The credential profile is for {credential.protocol!r}. Use that, or another profile."
            raise serializers.ValidationError({"plugin_id": [message]})
        if plugin_find(plugin_id) is None and "plugin_id" in attrs:
            message = f"There is no plugin {plugin_id!r}. The known ones are: {', '.join(plugin_ids())}."
            raise serializers.ValidationError({"plugin_id": [message]})
        if "port" in attrs:
            port_check(plugin_id, attrs["port"])


def port_check(plugin_id: str, port: int) -> None:
    wrong = port_error(plugin_id, port)
    if wrong:
        raise serializers.ValidationError({"port": [wrong]})


class PluginSerializer(serializers.Serializer[Any]):
    """What a manifest declares; a form for credentials can be built from the schema."""

    id = serializers.CharField()
    name = serializers.CharField()
    version = serializers.CharField()
    default_port = IntegerField()
    modes = serializers.SerializerMethodField()
    credential_schema = serializers.JSONField(
        help_text="JSON Schema, draft 2020-12, of a credential's payload."
    )

    def get_modes(self, plugin: Plugin) -> list[str]:
        return sorted(plugin.modes)


class ProvisionSerializer(serializers.Serializer[Any]):
    polling_interval_seconds = IntegerField(required=False, validators=INTERVAL_VALIDATORS)


class ProvisionedSerializer(serializers.Serializer[Any]):
    message = serializers.CharField()
    device_id = IntegerField()


class DeviceIdsField(serializers.ListField):
    child = IntegerField(min_value=1, max_value=MAX_ID)


class BulkSerializer(serializers.Serializer[Any]):
    device_ids = DeviceIdsField(min_length=1, max_length=MAX_DEVICES)


class BulkProvisionSerializer(BulkSerializer):
    polling_interval_seconds = IntegerField(
        required=False, default=None, validators=INTERVAL_VALIDATORS, help_text="Default: each keeps its own."
    )


class BulkIntervalSerializer(BulkSerializer):
    polling_interval_seconds = IntegerField(validators=INTERVAL_VALIDATORS)


class BulkCredentialSerializer(BulkSerializer):
    credential_profile_id = serializers.PrimaryKeyRelatedField(
        queryset=CredentialProfile.objects.all(), pk_field=IntegerField(min_value=1, max_value=MAX_ID)
    )


class BulkOutcomeSerializer(serializers.Serializer[Any]):
    device_id = IntegerField()
    outcome = serializers.ChoiceField(choices=Outcome.choices)


class BulkDoneSerializer(serializers.Serializer[Any]):
    results = BulkOutcomeSerializer(many=True, help_text="In the order asked for, each device once.")


class ProfileNameField(TextField):
    """A credential profile by its name, since ids differ between installations. `profiles` in the context has
    them all: ten thousand rows must not be as many queries.
    """

    def to_internal_value(self, data: Any) -> CredentialProfile:  # type: ignore[override]  # it gives on the profile
        name = super().to_internal_value(data)
        profile = self.context["profiles"].get(name)
        if not isinstance(profile, CredentialProfile):
            raise serializers.ValidationError(f"There is no credential profile {name[:128]!r}.")
        return profile


class DeviceRowSerializer(serializers.Serializer[Any]):
    """A row of a table of devices."""

    hostname = TextField(
        max_length=255, required=False, validators=[one_line_check], help_text="Default: the address."
    )
    ip_address = AddressField(label="IP address")
    port = IntegerField(min_value=0, max_value=65_535, required=False)
    plugin_id = TextField(max_length=32, required=False, help_text="Default: the profile's.")
    credential_profile = ProfileNameField(help_text="Its name.")
    polling_interval_seconds = IntegerField(required=False, validators=INTERVAL_VALIDATORS)
    should_ping = YesOrNoField(required=False)
    status = serializers.ChoiceField(
        choices=SETTABLE, required=False, help_text="active: polled from now on. Default: discovered."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        profile = attrs["credential_profile"]
        attrs.setdefault("plugin_id", profile.protocol)
        attrs.setdefault("hostname", attrs["ip_address"])
        plugin = plugin_find(attrs["plugin_id"])
        if attrs["plugin_id"] != profile.protocol or plugin is None:
            message = f"Must be {profile.protocol!r}, the protocol of the credential profile, and installed."
            raise serializers.ValidationError({"plugin_id": [message]})
        attrs.setdefault("port", plugin.default_port)
        port_check(attrs["plugin_id"], attrs["port"])
        return attrs


class CredentialRowSerializer(CredentialSerializer):
    """A row of a table of credential profiles; `names` in the context are those that are there."""

    class Meta(CredentialSerializer.Meta):
        fields = ("name", "description", "protocol", "payload")

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """One that is there keeps all it has, so an export can go in again without its secrets."""
        name = data.get("name") if isinstance(data, dict) else None
        if isinstance(name, str) and name in self.context["names"]:
            return {"name": name}
        return super().run_validation(data)


class DeletionSerializer(serializers.ModelSerializer[Deletion]):
    class Meta:
        model = Deletion
        fields = (
            "device_id",
            "hostname",
            "ip_address",
            "deleted_at",
            "partitions_done",
            "partitions_total",
            "rows_erased",
            "finished_at",
        )
        read_only_fields = fields
