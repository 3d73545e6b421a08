"""The last day of many devices at a glance: of each hour, how much of it a device answered."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from metrics.models import RollupProgress
from metrics.rollups import floor_to
from polling.verdict_rollups import IS_UP, VERDICTS

HOUR = timedelta(hours=1)
HOURS = 24
FRESH_HOURS = 3  # of verdicts by themselves at most
HOURLY = VERDICTS.levels[0]


@dataclass(frozen=True, slots=True)
class Strip:
    """`hours`: percent of the verdicts of each hour that say the device answers, oldest first; None where
    none says either. `percent` is of all of them.
    """

    start: datetime
    hours: Sequence[float | None]
    percent: float | None


# Hours come from the rollups; those that are not finished from the ledger, as long as they are few.
COUNTS = f"""
SELECT device_id, start_at, ok, down FROM polling_verdict_1h
WHERE device_id = ANY(%(devices)s) AND start_at >= %(start)s AND start_at < %(fresh)s
UNION ALL
SELECT device_id, date_trunc('hour', due_at) AS start_at, count(*) FILTER (WHERE {IS_UP}),
       count(*) FILTER (WHERE NOT {IS_UP})
FROM polling_verdict
WHERE device_id = ANY(%(devices)s) AND due_at >= %(fresh)s AND due_at <= %(now)s GROUP BY 1, 2
"""


def strips(device_ids: Iterable[int], now: datetime) -> dict[int, Strip]:
    """By device. Rollups that are behind for longer leave hours without a value."""
    wanted = list(device_ids)
    start = floor_to(now, HOUR) - (HOURS - 1) * HOUR
    done = RollupProgress.objects.filter(level=HOURLY.key).values_list("done_until", flat=True).first()
    earliest = floor_to(now, HOUR) - FRESH_HOURS * HOUR
    fresh = max(floor_to(done, HOUR), earliest) if done else earliest
    counts: dict[int, list[tuple[int, int]]] = {device_id: [(0, 0)] * HOURS for device_id in wanted}
    values: dict[str, Any] = {"devices": wanted, "start": start, "fresh": min(fresh, now), "now": now}
    with connection.cursor() as cursor:
        cursor.execute(COUNTS, values)
        for device_id, at, up, down in cursor.fetchall():
            counts[device_id][(at - start) // HOUR] = (up, down)
    return {device_id: _strip(start, hours) for device_id, hours in counts.items()}


def _strip(start: datetime, hours: Sequence[tuple[int, int]]) -> Strip:
    up, down = sum(hour[0] for hour in hours), sum(hour[1] for hour in hours)
    return Strip(start, [_percent(*hour) for hour in hours], _percent(up, down))


def _percent(up: int, down: int) -> float | None:
    return 100 * up / (up + down) if up + down else None
