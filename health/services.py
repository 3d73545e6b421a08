"""From failed slots to deactivated devices.

Called after the slots are committed, possibly twice with the same ones: a slot counts once
(health/lua/failure_record.lua), and only for a device that is active and has been since before the slot was
due.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import redis
from django.conf import settings

from devices.models import Device, DeviceStatus
from devices.services import device_take_off
from health.windows import Counted, Failure, failures_count, failures_forget

logger = logging.getLogger(__name__)

REASONS = {"ping": "does not answer ping", "poll": "cannot be polled"}


@dataclass(frozen=True, slots=True)
class FailedSlot:
    """`stage` is ping or poll; `error` is what the stage said, for people."""

    device_id: int
    due_at: datetime
    stage: str
    error: str


def failures_record(slots: Sequence[FailedSlot]) -> list[int]:
    """Counts the failures and deactivates devices that reach the threshold; returns their ids.

    With Redis away nothing is counted and nobody is deactivated: the state is unknown, not down.
    """
    if not slots:
        return []
    active = _active_devices(slots)
    failures = [
        Failure(
            slot.device_id, slot.due_at, device.status_since, device.polling_interval_seconds, _reason(slot)
        )
        for slot in slots
        if (device := active.get(slot.device_id)) and device.status_since <= slot.due_at
    ]
    try:
        counted = failures_count(failures) if failures else []
    except redis.RedisError as error:
        logger.warning("%d failures are not counted, Redis is away: %s", len(failures), error)
        return []
    # Had we died before, the same failures would come again and trip again.
    return [one.failure.device_id for one in counted if one.has_tripped and _deactivate(one)]


def successes_record(device_ids: Sequence[int]) -> None:
    """By setting only: a good poll clears the device's count."""
    if not settings.NMS_SUCCESS_RESETS_FAILURES:
        return
    try:
        failures_forget(device_ids)
    except redis.RedisError as error:
        logger.warning("failure counts are not cleared, Redis is away: %s", error)


def _active_devices(slots: Sequence[FailedSlot]) -> Mapping[int, Device]:
    found = Device.objects.filter(pk__in={slot.device_id for slot in slots}, status=DeviceStatus.ACTIVE).only(
        "status_since", "polling_interval_seconds"
    )
    return {device.pk: device for device in found}


def _reason(slot: FailedSlot) -> str:
    return f"{REASONS[slot.stage]}: {slot.error}" if slot.error else REASONS[slot.stage]


def _deactivate(counted: Counted) -> bool:
    failure = counted.failure
    reason = f"{counted.count} failures within the window, the last: {failure.reason}"
    changed = device_take_off(
        device_id=failure.device_id,
        status=DeviceStatus.INACTIVE,
        reason=reason,
        active_since=failure.due_at,
    )
    if changed:
        logger.warning("device %d is deactivated: %s", failure.device_id, reason)
    return changed
