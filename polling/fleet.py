"""What the ledger and the queues say of all devices: completeness by hours, lateness, and what waits."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from metrics.models import RollupProgress
from polling.models import FleetHour
from polling.verdict_rollups import COUNTS, IS_UP, OF_THESE_MONTHS, VERDICTS, Tally, skipped_slots

LATENESS_RANGE = timedelta(minutes=10)
LATENESS_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds


@dataclass(frozen=True, slots=True)
class Completeness:
    """One hour of the fleet. An hour that is not finished is counted up to now. `down` of its verdicts say
    that a device does not answer.
    """

    start: datetime
    is_finished: bool
    verdicts: Tally
    down: int


# Hours that are not rolled up yet: two at most while the roll-up keeps up.
FROM_LEDGER = f"""
SELECT date_bin('1 hour', due_at, timestamptz 'epoch') AS hour, kind, count(*),
       count(*) FILTER (WHERE NOT {IS_UP})
FROM polling_verdict WHERE due_at >= %(start)s AND due_at < %(end)s GROUP BY hour, kind
UNION ALL
SELECT date_bin('1 hour', due_at, timestamptz 'epoch') AS hour, 'skipped', count(*), 0 FROM polling_gap AS gap
{skipped_slots("%(start)s", "%(end)s")}
WHERE {OF_THESE_MONTHS.format(low="%(start)s", high="%(end)s")}
GROUP BY hour
"""


def completeness(*, start: datetime, end: datetime, now: datetime) -> list[Completeness]:
    """Every hour that touches [start, end) and in which something was due, oldest first."""
    level = VERDICTS.levels[0]
    low = level.floor(start)
    done = RollupProgress.objects.filter(level=level.key).values_list("done_until", flat=True).first() or low
    found = {
        row.start_at: Completeness(
            row.start_at, True, Tally(+Counter({name: getattr(row, name) for name in COUNTS})), row.down
        )
        for row in FleetHour.objects.filter(start_at__gte=low, start_at__lt=min(end, done))
    }
    fresh = max(low, done)
    if fresh < min(end, now):
        found |= {hour.start: hour for hour in _from_ledger(fresh, min(end, now))}
    return [found[start] for start in sorted(found)]


def _from_ledger(start: datetime, end: datetime) -> Iterable[Completeness]:
    tallies: defaultdict[datetime, Tally] = defaultdict(Tally)
    downs: Counter[datetime] = Counter()
    with connection.cursor() as cursor:
        cursor.execute(FROM_LEDGER, {"start": start, "end": end})
        for hour, kind, count, down in cursor.fetchall():
            tallies[hour][kind] += count
            downs[hour] += down
    return (Completeness(hour, False, tally, downs[hour]) for hour, tally in tallies.items())


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """Where the claim stands at this moment."""

    active: int
    overdue: int
    oldest_due_at: datetime | None
    leased: int


STATE = """
SELECT count(*) FILTER (WHERE next_poll_at IS NOT NULL), count(*) FILTER (WHERE next_poll_at <= %(now)s),
       min(next_poll_at) FILTER (WHERE next_poll_at <= %(now)s),
       count(*) FILTER (WHERE leased_until > %(now)s)
FROM devices_pollstate
"""
LATENESS = """
SELECT width_bucket(extract(epoch FROM started_at - due_at)::float8, %(bounds)s::float8[]), count(*)
FROM polling_verdict WHERE due_at >= %(start)s AND due_at <= %(now)s AND started_at IS NOT NULL
GROUP BY 1
"""


def schedule_state(now: datetime) -> ScheduleState:
    with connection.cursor() as cursor:
        cursor.execute(STATE, {"now": now})
        return ScheduleState(*cursor.fetchone())


def lateness(now: datetime) -> list[tuple[float | None, int]]:
    """For each of LATENESS_BOUNDS in seconds, how many of the last ten minutes' polls began no later than
    that after they were due; the last number, without a bound, is all of them.
    """
    with connection.cursor() as cursor:
        values: dict[str, Any] = {"now": now, "start": now - LATENESS_RANGE, "bounds": list(LATENESS_BOUNDS)}
        cursor.execute(LATENESS, values)
        counts = dict(cursor.fetchall())
    running, found = 0, []
    for position, bound in enumerate([*LATENESS_BOUNDS, None]):
        running += counts.get(position, 0)
        found.append((bound, running))
    return found
