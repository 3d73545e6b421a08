"""Availability and completeness of all devices by hours, and the state of the schedule."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from metrics.models import RollupProgress
from polling.availability import histories
from polling.models import FleetHour
from polling.outages import MonitoredTime, spans, time_by_step
from polling.verdict_rollups import COUNTS, IS_UP, OF_THESE_MONTHS, VERDICTS, Tally, skipped_slots

HOUR = timedelta(hours=1)
FILLED_AT_A_TIME = 24
LATENESS_RANGE = timedelta(minutes=10)
LATENESS_BOUNDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds


@dataclass(frozen=True, slots=True)
class HourOfFleet:
    """One hour of all devices, counted up to now where it is not finished. `time` is None for some seconds
    after an hour has ended, while it is being added up.
    """

    start: datetime
    is_finished: bool
    verdicts: Tally = field(default_factory=Tally)
    time: MonitoredTime | None = field(default_factory=MonitoredTime)


# Hours that are not rolled up yet: two at most while the roll-up keeps up.
FROM_LEDGER = f"""
SELECT date_bin('1 hour', due_at, timestamptz 'epoch') AS hour, kind, count(*)
FROM polling_verdict WHERE due_at >= %(start)s AND due_at < %(end)s GROUP BY hour, kind
UNION ALL
SELECT date_bin('1 hour', due_at, timestamptz 'epoch') AS hour, 'skipped', count(*) FROM polling_gap AS gap
{skipped_slots("%(start)s", "%(end)s")}
WHERE {OF_THESE_MONTHS.format(low="%(start)s", high="%(end)s")}
GROUP BY hour
"""


def fleet_hours(*, start: datetime, end: datetime, now: datetime) -> list[HourOfFleet]:
    """Every hour that touches [start, end) and in which something was due or monitored, oldest first."""
    level = VERDICTS.levels[0]
    low = level.floor(start)
    done = RollupProgress.objects.filter(level=level.key).values_list("done_until", flat=True).first() or low
    found = {
        row.start_at: _finished(row)
        for row in FleetHour.objects.filter(start_at__gte=low, start_at__lt=min(end, done))
    }
    fresh = max(low, done)
    if fresh < min(end, now):
        found |= {hour.start: hour for hour in _fresh(fresh, min(end, now))}
    hours = (found[start] for start in sorted(found))
    return [hour for hour in hours if hour.verdicts or hour.time is None or hour.time.monitored]


def _finished(row: FleetHour) -> HourOfFleet:
    time = None
    if row.monitored_seconds is not None and row.outage_seconds is not None:
        time = MonitoredTime(row.monitored_seconds, row.outage_seconds)
    return HourOfFleet(
        row.start_at, True, Tally(+Counter({name: getattr(row, name) for name in COUNTS})), time
    )


def _fresh(start: datetime, end: datetime) -> Iterable[HourOfFleet]:
    tallies: defaultdict[datetime, Tally] = defaultdict(Tally)
    with connection.cursor() as cursor:
        cursor.execute(FROM_LEDGER, {"start": start, "end": end})
        for hour, kind, count in cursor.fetchall():
            tallies[hour][kind] += count
    times = fleet_time(start, end, is_finished=False)
    return [
        HourOfFleet(hour, False, tallies.get(hour, Tally()), times.get(hour, MonitoredTime()))
        for hour in tallies.keys() | times.keys()
    ]


# --- Availability of all devices ---

# Most devices are up throughout: active since before the range, up when it was last known before it, and
# without a failure in it. They are counted here; the histories of the others are read.
PLAIN = """
WITH failing AS (
    {failing}
), up_before AS (
    SELECT device_id FROM polling_verdict_1h
    -- The last hour in which anything was polled: NMS may have stood still since then.
    WHERE start_at = (SELECT max(start_at) FROM polling_fleethour WHERE start_at < %(start)s AND devices > 0)
      AND start_at >= %(start)s - interval '2 days' AND first_at IS NOT NULL
      AND (changes IS NULL OR changes -> -1 ->> 1 = 'ok')
), device AS (
    SELECT id, status = 'active' AND status_since <= %(start)s
               AND EXISTS (SELECT FROM up_before WHERE device_id = id)
               AND NOT EXISTS (SELECT FROM failing WHERE device_id = id) AS is_plain
    FROM devices_device
    -- One that was off before the range, and still is, has no time in it.
    WHERE status = 'active' OR has_failed OR status_since > %(start)s
)
SELECT count(*) FILTER (WHERE is_plain), array_agg(id) FILTER (WHERE NOT is_plain) FROM device
"""
FAILING_IN_LEDGER = f"""
SELECT DISTINCT device_id FROM polling_verdict
WHERE due_at >= %(start)s AND due_at < %(end)s AND NOT {IS_UP}"""
FAILING_IN_HOURS = """
SELECT device_id FROM polling_verdict_1h
WHERE start_at >= %(start)s AND start_at < %(end)s AND changes IS NOT NULL"""


def fleet_time(start: datetime, end: datetime, *, is_finished: bool) -> dict[datetime, MonitoredTime]:
    """Return {start of an hour: its time over all devices that there are now}; `start` begins an hour.

    With `is_finished` the rollups of the range have been made.
    """
    statement = PLAIN.format(failing=FAILING_IN_HOURS if is_finished else FAILING_IN_LEDGER)
    with connection.cursor() as cursor:
        cursor.execute(statement, {"start": start, "end": end})
        plain, others = cursor.fetchone()
    found: defaultdict[datetime, MonitoredTime] = defaultdict(MonitoredTime)
    hours = -((start - end) // HOUR)
    for hour in (start + n * HOUR for n in range(hours)):
        seconds = (min(hour + HOUR, end) - hour).total_seconds()
        found[hour].add(MonitoredTime(plain * seconds))
    for history in histories(others or [], start, end).values():
        for hour, time in time_by_step(spans(history, start, end), HOUR).items():
            found[hour].add(time)
    return dict(found)


def fleet_hours_fill() -> bool:
    """Add up the availability of finished hours that lack it, the newest first; True when none is left."""
    lacking = FleetHour.objects.filter(monitored_seconds=None).order_by("-start_at")
    starts = list(lacking.values_list("start_at", flat=True)[:FILLED_AT_A_TIME])
    for start in starts:
        # A roll-up that makes the hour again waits for the row, and sets it to NULL afterwards.
        with transaction.atomic():
            row = lacking.select_for_update().filter(start_at=start).first()
            if row is None:
                continue
            time = fleet_time(start, start + HOUR, is_finished=True).get(start, MonitoredTime())
            row.monitored_seconds, row.outage_seconds = time.monitored, time.outage
            row.save(update_fields=["monitored_seconds", "outage_seconds"])
    return len(starts) < FILLED_AT_A_TIME


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
