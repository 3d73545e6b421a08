"""The tables of devices and of credential profiles."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

from devices.api.serializers import CredentialRowSerializer, DeviceRowSerializer
from devices.models import CredentialProfile, Device, DeviceStatus
from devices.services import database_now, devices_add
from nms_project.transfer.table import Table, add_by_name


class DeviceTable(Table[Device]):
    name = "devices"
    columns = (
        "hostname",
        "ip_address",
        "port",
        "plugin_id",
        "credential_profile",
        "polling_interval_seconds",
        "should_ping",
        "status",
    )

    def form(self) -> DeviceRowSerializer:
        profiles = {profile.name: profile for profile in CredentialProfile.objects.all()}
        return DeviceRowSerializer(context={"profiles": profiles})

    def add(self, rows: Sequence[dict[str, Any]]) -> Iterable[tuple[int, bool]]:
        now = database_now()
        devices = [Device(status_since=now, status_reason="imported", **fields) for fields in rows]
        return devices_add(devices, now)

    def related(self, rows: QuerySet[Device]) -> QuerySet[Device]:
        return rows.select_related(None).select_related("credential_profile")

    def cells(self, row: Device) -> Mapping[str, Any]:
        # `error` is for the system to say, not for a table.
        status = DeviceStatus.INACTIVE.value if row.status == DeviceStatus.ERROR else row.status
        return {
            **{name: getattr(row, name) for name in self.columns},
            "credential_profile": row.credential_profile.name,
            "should_ping": str(row.should_ping).lower(),
            "status": status,
        }


class CredentialTable(Table[CredentialProfile]):
    """No secret ever comes out; one that goes in is needed for names that are new."""

    name = "credentials"
    columns = CredentialRowSerializer.Meta.fields
    secret = ("payload",)

    def form(self) -> CredentialRowSerializer:
        return CredentialRowSerializer(
            context={"names": set(CredentialProfile.objects.values_list("name", flat=True))}
        )

    def add(self, rows: Sequence[dict[str, Any]]) -> Iterable[tuple[int, bool]]:
        return add_by_name(CredentialProfile, CredentialRowSerializer().create, rows)

    def cells(self, row: CredentialProfile) -> Mapping[str, Any]:
        return {name: getattr(row, name) for name in self.exported}
