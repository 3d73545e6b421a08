"""Writes on devices: creation, status and interval, each with its run state and event row in one transaction.

Status changes are conditional updates: whoever comes second changes nothing. Time is PostgreSQL's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from ipaddress import ip_address as ip_address_of
from typing import Any, TypeVar

import orjson
from django.db import connection, transaction
from django.db.models.functions import Now

from devices.models import CredentialProfile, Device, DeviceStatus, PollState, StatusChange, Timestamped
from devices.schedule import grid_offset_ms, next_slot
from devices.selectors import IS_DOWN, IS_UNACKNOWLEDGED
from nms_project.errors import Conflict, InvalidInput
from plugins.contract import MAX_REMEMBERED_BYTES

FOUND = "found by discovery"
ADDED_AT_A_TIME = 1_000
# As the foreign key does it, but now: it is deferred to the end of the transaction.
KEEP_PROTOCOLS = """
SELECT id, protocol FROM devices_credentialprofile WHERE id = ANY(%s) ORDER BY id FOR KEY SHARE
"""
ADDING_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Found:
    """A host that discovery proposes as a device."""

    ip_address: str
    hostname: str
    credential_profile_id: int  # the one whose login worked
    remembered: Mapping[str, str] = field(default_factory=dict)


def database_now() -> datetime:
    """PostgreSQL's clock: machines may disagree about the time, slots and leases may not."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone()
    assert isinstance(now, datetime)  # noqa: S101 (for the type checker)
    return now


@transaction.atomic
def device_create(**fields: Any) -> Device:
    """Creates a device and its run state; an active one is due at once. Raises IntegrityError for a taken
    address.
    """
    now = database_now()
    device = Device(status_since=now, status_reason="added", **fields)
    device.save(force_insert=True)
    _enter([device], now)
    return device


def devices_register(*, found: Sequence[Found], **common: Any) -> dict[str, tuple[int, bool]]:
    """Creates the devices that are not there yet; `common` holds the fields they share, `port` and `status`
    among them.

    Returns {ip address: (device id, created)}. An existing device of the same address and port keeps all its
    settings.
    """
    now = database_now()
    devices = [
        Device(
            ip_address=host.ip_address,
            hostname=host.hostname,
            credential_profile_id=host.credential_profile_id,
            remembered=dict(host.remembered),
            status_since=now,
            status_reason=FOUND,
            **common,
        )
        for host in found
    ]
    added = devices_add(devices, now)
    return {host.ip_address: outcome for host, outcome in zip(found, added, strict=True)}


AddressKey = tuple[IPv4Address | IPv6Address, int]


def _address_key(device: Device) -> AddressKey:
    """What makes a device one, however its address is spelt."""
    return ip_address_of(device.ip_address), device.port


def devices_add(devices: Sequence[Device], now: datetime) -> list[tuple[int, bool]]:
    """(device id, created) of each; the second of one address is not created. What is there already keeps all
    its settings: two callers that add the same host at once make one device, and the second sees the first's
    row. Raises Conflict when somebody goes on deleting them meanwhile.
    """
    keys = [_address_key(device) for device in devices]
    wanted = dict(zip(reversed(keys), reversed(devices), strict=True))  # the first of each
    # One order for everybody, so that two callers wait for each other instead of dead-locking.
    ordered = sorted(wanted.items(), key=lambda item: (str(item[0][0]), item[0][1]))
    for _ in range(ADDING_ATTEMPTS):
        # One that was there when ours was to be added may be deleted before it is read. All is done again
        # then, without the locks of the first time, so that the order stays one.
        with transaction.atomic():
            found = _add_missing(ordered, now)
            if len(found) == len(ordered):
                return [_first_alone(found, key) for key in keys]
            transaction.set_rollback(True)
    raise Conflict("Some of these devices are being deleted. Nothing was done; try again.")


def _first_alone(found: dict[AddressKey, tuple[int, bool]], key: AddressKey) -> tuple[int, bool]:
    """What is found of the key; the next to ask is told that it was there."""
    outcome = found[key]
    found[key] = outcome[0], False
    return outcome


def _add_missing(
    ordered: Sequence[tuple[AddressKey, Device]], now: datetime
) -> dict[AddressKey, tuple[int, bool]]:
    """{_address_key: (device id, created)}, without those that were deleted between two statements."""
    found: dict[AddressKey, tuple[int, bool]] = {}
    for start in range(0, len(ordered), ADDED_AT_A_TIME):
        part = dict(ordered[start : start + ADDED_AT_A_TIME])
        Device.objects.bulk_create(part.values(), ignore_conflicts=True)
        rows = Device.objects.filter(ip_address__in={str(address) for address, _ in part})
        here = {_address_key(row): row for row in rows.select_related("poll_state")}
        created = [row for key, row in here.items() if key in part and not hasattr(row, "poll_state")]
        _enter(created, now)
        new_ids = {row.pk for row in created}
        found |= {key: (row.pk, row.pk in new_ids) for key, row in here.items() if key in part}
    return found


def protocols_require(wanted: Iterable[tuple[int, str]]) -> None:
    """The credential profiles (id, protocol) have these protocols, and keep them until the transaction has
    ended. Raises Conflict for one that was changed since it was read.
    """
    protocols = dict(wanted)
    with connection.cursor() as cursor:
        cursor.execute(KEEP_PROTOCOLS, [list(protocols)])
        kept = dict(cursor.fetchall())
    if any(protocols[pk] != protocol for pk, protocol in kept.items()):
        raise Conflict("The protocol of the credential profile was changed meanwhile. Try again.")


def _enter(devices: Sequence[Device], now: datetime) -> None:
    """Run state and first event row of new devices."""
    protocols_require({(device.credential_profile_id, device.plugin_id) for device in devices})
    PollState.objects.bulk_create(
        PollState(
            device=device,
            interval_seconds=device.polling_interval_seconds,
            grid_offset_ms=grid_offset_ms(device.pk, device.polling_interval_seconds),
            next_poll_at=now if device.status == DeviceStatus.ACTIVE else None,
        )
        for device in devices
    )
    StatusChange.objects.bulk_create(_change(device, "", device.status_reason, now) for device in devices)


@transaction.atomic
def device_provision(*, device_id: int, interval_seconds: int | None) -> bool:
    """Activates a device from any state, due at once. False when there is no such device.

    A new `status_since` also starts its failure count afresh: health counts per period of activity.
    """
    device = Device.objects.select_for_update().filter(pk=device_id).first()
    if device is None:
        return False
    now = database_now()
    if interval_seconds is not None and interval_seconds != device.polling_interval_seconds:
        _set_interval(device, interval_seconds, now)
    interval = device.polling_interval_seconds
    _set_status(device, DeviceStatus.ACTIVE, "provisioned", now)
    PollState.objects.filter(device_id=device_id).update(
        next_poll_at=now, interval_seconds=interval, grid_offset_ms=grid_offset_ms(device_id, interval)
    )
    return True


@transaction.atomic
def device_poll_now(*, device_id: int) -> bool:
    """Makes an active device due at once, off its grid. False when there is no such device; raises Conflict
    when it is not active, or is being polled.
    """
    device = Device.objects.select_for_update().filter(pk=device_id).first()
    if device is None:
        return False
    if device.status != DeviceStatus.ACTIVE:
        raise Conflict(f"The device is {device.status}, which is not polled. Provision it first.")
    now = database_now()
    states = PollState.objects.filter(device_id=device_id)
    if states.filter(leased_until__gt=now).exists():
        raise Conflict("The device is being polled at this moment.")
    states.filter(next_poll_at__gt=now).update(next_poll_at=now)
    return True


@transaction.atomic
def device_take_off(
    *,
    device_id: int,
    status: DeviceStatus,
    reason: str,
    active_since: datetime | None = None,
) -> bool:
    """Take an active device off the schedule because of its failures or its configuration. Return False when
    it is not active any more.

    With `active_since` only if the device has been active since then: a failure of a slot that was due before
    the device was provisioned says nothing about it now.
    """
    device = Device.objects.select_for_update().filter(pk=device_id, status=DeviceStatus.ACTIVE).first()
    if device is None or (active_since is not None and device.status_since > active_since):
        return False
    _set_status(device, status, reason, database_now(), has_failed=True)
    PollState.objects.filter(device_id=device_id).update(next_poll_at=None)
    return True


@transaction.atomic
def device_deactivate(*, device_id: int, reason: str) -> bool:
    """Stop polling a device, as a person asked for. Return False where it was stopped by a person before, or
    is not there.

    A device that failed is not down any more: from now on it is not monitored.
    """
    device = Device.objects.select_for_update().filter(pk=device_id).first()
    if device is None or not (device.status == DeviceStatus.ACTIVE or device.has_failed):
        return False
    _set_status(device, DeviceStatus.INACTIVE, reason, database_now())
    PollState.objects.filter(device_id=device_id).update(next_poll_at=None)
    return True


def device_acknowledge(*, device_id: int, by: str) -> bool:
    """Note that the user named `by` knows of a device that failed; it stays down. Return False where it has
    not failed, or is acknowledged already.
    """
    failed = Device.objects.filter(IS_DOWN, IS_UNACKNOWLEDGED, pk=device_id)
    return bool(failed.update(acknowledged_by=by, acknowledged_at=Now(), updated_at=Now()))


def device_unacknowledge(*, device_id: int) -> bool:
    """Take an acknowledgement back. Return False where there is none."""
    acknowledged = Device.objects.filter(pk=device_id).exclude(acknowledged_at=None)
    return bool(acknowledged.update(acknowledged_by="", acknowledged_at=None, updated_at=Now()))


@transaction.atomic
def device_delete(*, device_id: int) -> bool:
    """With its run state and events; its history is erased later. False when there is no such device.

    The device's row is locked first, as by everybody else here: Django would begin with the rows that refer
    to it, and two requests could wait for each other.
    """
    device = Device.objects.select_for_update().filter(pk=device_id).first()
    if device is None:
        return False
    device.delete()
    return True


@transaction.atomic
def device_remember(*, device_id: int, ip_address: str, port: int, facts: Mapping[str, str]) -> None:
    """Keeps what the plugin found out at the device's address; what is known already stays, whoever says
    otherwise. What would be too much altogether is not kept.
    """
    found = Device.objects.filter(pk=device_id, ip_address=ip_address, port=port)  # not at another by now
    device = found.select_for_update().first()
    if device is None:
        return
    merged = {**facts, **device.remembered}
    if merged != device.remembered and len(orjson.dumps(merged)) <= MAX_REMEMBERED_BYTES:
        device.remembered = merged
        device.save(update_fields=["remembered", "updated_at"])


def device_forget(*, device_id: int) -> bool:
    """Drops what is remembered, so that it is learned anew. False when there is no such device."""
    return bool(Device.objects.filter(pk=device_id).update(remembered={}))


Row = TypeVar("Row", bound=Timestamped)


@transaction.atomic
def row_update(row: Row, **fields: Any) -> Row:
    """Saves the given fields only, under the row's lock: what another request changed meanwhile stays.

    Raises the model's DoesNotExist when the row was deleted meanwhile.
    """
    current = row_locked(row)
    row_write(current, **fields)
    return current


def row_locked(row: Row) -> Row:
    """As it is now, and stays until the transaction ends. Raises the model's DoesNotExist."""
    return type(row)._default_manager.select_for_update().get(pk=row.pk)


def row_write(locked: Row, **fields: Any) -> None:
    """Saves the given fields of a row that `row_locked` gave."""
    for name, value in fields.items():
        setattr(locked, name, value)
    if fields:
        locked.save(update_fields=[*fields, "updated_at"])


@transaction.atomic
def device_update(device: Device, **fields: Any) -> Device:
    """Save the given fields only. A changed interval moves the next slot; a running lease keeps its own. What
    is remembered of the host at another address or port is forgotten.

    Raise Device.DoesNotExist for one that has been deleted, InvalidInput for a credential profile of another
    protocol.
    """
    status = fields.pop("status", None)
    interval = fields.pop("polling_interval_seconds", None)
    current = row_locked(device)
    if "credential_profile" in fields:
        _check_protocol(fields["credential_profile"], fields.get("plugin_id", current.plugin_id))
    address = ip_address_of(fields.get("ip_address", current.ip_address)), fields.get("port", current.port)
    if address != _address_key(current):
        fields["remembered"] = {}
    row_write(current, **fields)
    if interval is not None and interval != current.polling_interval_seconds:
        now = database_now()
        _set_interval(current, interval, now)
        _move_slots(current, now)
    if status is not None:
        _change_status(current, DeviceStatus(status))
    return Device.objects.select_related("poll_state").get(pk=device.pk)


def _check_protocol(profile: CredentialProfile, plugin_id: str) -> None:
    if profile.protocol != plugin_id:
        raise InvalidInput(
            {"credential_profile": [f"{profile.name} is for {profile.protocol}, the device for {plugin_id}."]}
        )
    protocols_require([(profile.pk, plugin_id)])


def _change_status(device: Device, status: DeviceStatus) -> None:
    """`device` is locked by the caller."""
    if status == device.status:
        return
    if status == DeviceStatus.ACTIVE:
        device_provision(device_id=device.pk, interval_seconds=None)
    else:
        _set_status(device, status, "set by a user", database_now())
        PollState.objects.filter(device_id=device.pk).update(next_poll_at=None)


def _set_interval(device: Device, interval_seconds: int, now: datetime) -> None:
    """`device` is locked by the caller, who moves its slots."""
    reason = f"interval {device.polling_interval_seconds} s → {interval_seconds} s"
    device.polling_interval_seconds = interval_seconds
    device.save(update_fields=["polling_interval_seconds", "updated_at"])
    _change(device, device.status, reason, now).save()


def _move_slots(device: Device, now: datetime) -> None:
    interval = device.polling_interval_seconds
    offset = grid_offset_ms(device.pk, interval)
    states = PollState.objects.filter(device=device)
    states.filter(next_poll_at__isnull=False).update(next_poll_at=next_slot(now, interval, offset))
    states.update(interval_seconds=interval, grid_offset_ms=offset)


def _set_status(
    device: Device, status: DeviceStatus, reason: str, now: datetime, *, has_failed: bool = False
) -> None:
    was = device.status, device.has_failed
    device.status, device.status_reason, device.status_since = status, reason[:500], now
    device.has_failed, device.acknowledged_by, device.acknowledged_at = has_failed, "", None
    device.save(
        update_fields=[
            "status",
            "status_reason",
            "status_since",
            "has_failed",
            "acknowledged_by",
            "acknowledged_at",
            "updated_at",
        ]
    )
    if was != (status, has_failed):
        _change(device, was[0], reason, now).save()


def _change(device: Device, old: str, reason: str, now: datetime) -> StatusChange:
    """To what the device is now; not saved."""
    return StatusChange(
        device=device,
        old_status=old,
        new_status=device.status,
        reason=reason[:500],
        polling_interval_seconds=device.polling_interval_seconds,
        has_failed=device.has_failed,
        at=now,
    )
