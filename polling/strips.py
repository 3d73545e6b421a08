"""The last day of many devices at a glance: of each hour, how much of it a device answered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from metrics.rollups import floor_to
from polling.models import VerdictRollup1h

HOUR = timedelta(hours=1)
HOURS = 24


@dataclass(frozen=True, slots=True)
class Strip:
    """`hours`: percent of the verdicts of each hour that say the device answers, oldest first; None where
    none says either. `percent` is of all of them.
    """

    start: datetime
    hours: Sequence[float | None]
    percent: float | None


def strips(device_ids: Iterable[int], now: datetime) -> dict[int, Strip]:
    """By device, from the rollups: the newest hour is behind by what they are."""
    wanted = list(device_ids)
    start = floor_to(now, HOUR) - (HOURS - 1) * HOUR
    counts: dict[int, list[tuple[int, int]]] = {device_id: [(0, 0)] * HOURS for device_id in wanted}
    found = VerdictRollup1h.objects.filter(device_id__in=wanted, start_at__gte=start, start_at__lte=now)
    for device_id, at, up, down in found.values_list("device_id", "start_at", "ok", "down"):
        counts[device_id][(at - start) // HOUR] = (up, down)
    return {device_id: _strip(start, hours) for device_id, hours in counts.items()}


def _strip(start: datetime, hours: Sequence[tuple[int, int]]) -> Strip:
    up, down = sum(hour[0] for hour in hours), sum(hour[1] for hour in hours)
    return Strip(start, [_percent(*hour) for hour in hours], _percent(up, down))


def _percent(up: int, down: int) -> float | None:
    return 100 * up / (up + down) if up + down else None
