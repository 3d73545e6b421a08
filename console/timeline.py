"""What a device's timeline shows: when it was down, and when it was not polled."""

from dataclasses import dataclass
from datetime import datetime

from devices.models import Device, DeviceStatus, StatusChange
from polling.availability import availability


@dataclass(frozen=True, slots=True)
class Period:
    """Seconds since the epoch. `kind` is `down`, or `off` for a time off the schedule."""

    kind: str
    start: float
    end: float
    words: str


def periods(device: Device, *, start: datetime, end: datetime, now: datetime) -> list[Period]:
    """In the range, those off the schedule first."""
    found = _off(device, start, end)
    for outage in availability(device_id=device.pk, start=start, end=end, now=now).outages:
        words = f"down: {outage.error or outage.kind}"
        found.append(_period("down", max(outage.start, start), outage.end or end, words))
    return found


def _off(device: Device, start: datetime, end: datetime) -> list[Period]:
    """Between a change to a status that is not polled and the next to one that is."""
    before = StatusChange.objects.filter(device=device, at__lte=start).order_by("-id").first()
    changes = list(StatusChange.objects.filter(device=device, at__gt=start, at__lt=end).order_by("id"))
    found = []
    since, status, words = start, before.new_status if before else "", _words(before)
    for change in changes:
        if change.new_status != status:
            if status != DeviceStatus.ACTIVE:
                found.append(_period("off", since, change.at, words))
            since, status, words = change.at, change.new_status, _words(change)
    if status != DeviceStatus.ACTIVE:
        found.append(_period("off", since, end, words))
    return found


def _words(change: StatusChange | None) -> str:
    return f"{change.new_status}: {change.reason}" if change else "not known yet"


def _period(kind: str, start: datetime, end: datetime, words: str) -> Period:
    return Period(kind, start.timestamp(), end.timestamp(), words)
