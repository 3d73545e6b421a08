"""The last day of many devices at a glance: of each hour, how much of it a device was up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from metrics.rollups import floor_to
from polling.availability import histories
from polling.outages import History, MonitoredTime, spans, time_by_step, time_of

HOUR = timedelta(hours=1)
HOURS = 24


@dataclass(frozen=True, slots=True)
class Strip:
    """`hours`: the availability of each hour in percent, oldest first; None where the device was not
    monitored. `percent` is of all of them.
    """

    start: datetime
    hours: Sequence[float | None]
    percent: float | None


def strips(device_ids: Iterable[int], now: datetime) -> dict[int, Strip]:
    """By device."""
    start = floor_to(now, HOUR) - (HOURS - 1) * HOUR
    found = histories(list(device_ids), start, now)
    return {device_id: _strip(history, start, now) for device_id, history in found.items()}


def _strip(history: History, start: datetime, now: datetime) -> Strip:
    known = list(spans(history, start, now))
    by_hour = time_by_step(known, HOUR)
    hours = [by_hour.get(start + n * HOUR, MonitoredTime()).percent for n in range(HOURS)]
    return Strip(start, hours, time_of(known).percent)
