"""Reads of devices for other apps."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

from django.db.models import F, Q

from devices.models import Device, DeviceStatus, StatusChange

# Of a device that its failures, or its configuration, took off the schedule.
IS_DOWN = Q(has_failed=True) | Q(status=DeviceStatus.ERROR)
# An acknowledgement holds for the failure it was made for, even where its successor did not clear it.
IS_UNACKNOWLEDGED = Q(acknowledged_at__isnull=True) | Q(acknowledged_at__lt=F("status_since"))


def remembered_by_address(addresses: Sequence[str], port: int) -> dict[str, dict[str, str]]:
    """What plugins remember of the devices at these addresses; one query."""
    rows = Device.objects.filter(ip_address__in=addresses, port=port).exclude(remembered={})
    return {str(address): dict(facts) for address, facts in rows.values_list("ip_address", "remembered")}


def slots_expected(device: Device, start: datetime, end: datetime) -> int:
    """How many polls were due in [start, end), from when the device was active and at which interval; right
    to one for each of its changes.
    """
    changes = list(
        StatusChange.objects.filter(device=device, at__lt=end)
        .order_by("pk")
        .values_list("at", "new_status", "polling_interval_seconds")
    )
    expected = 0
    for (at, status, interval), (until, *_) in pairwise([*changes, (end, "", None)]):
        if status == DeviceStatus.ACTIVE and min(until, end) > max(at, start):
            seconds = (min(until, end) - max(at, start)).total_seconds()
            expected += round(seconds / (interval or device.polling_interval_seconds))
    return expected
