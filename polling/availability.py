"""How long devices were monitored, and how long they were down, over any range.

Whole hours and days come from the rollups, the rest from the verdicts themselves while they are kept.
polling/outages.py defines an outage.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from django.db import connection

from devices.schedule import from_microseconds
from metrics.levels import Piece, ceil_to, decompose
from metrics.partitions import partitioned
from metrics.rollups import floor_to
from polling.models import VerdictKind
from polling.outages import (
    History,
    MonitoredTime,
    Monitoring,
    MonitoringChange,
    Observation,
    Span,
    spans,
    time_of,
)
from polling.verdict_rollups import COUNTS, IS_UP, OF_THESE_MONTHS, SUMS, VERDICTS, Tally, skipped_slots

MAX_OUTAGES = 1_000


@dataclass(slots=True)
class Outage:
    """From the first failed slot to the first good one, or to where a person ended the monitoring.

    `began_before`: the device was down already when the range began; `end` is None while the outage
    lasts.
    """

    start: datetime
    end: datetime | None
    seconds: float
    kind: str
    error: str
    began_before: bool


@dataclass(slots=True)
class Availability:
    """Of [start, end). `down` counts the slots in which the device did not answer. `outages` are the newest
    MAX_OUTAGES, oldest first; `time` has all of them.
    """

    start: datetime
    end: datetime
    verdicts: Tally = field(default_factory=Tally)
    down: int = 0
    time: MonitoredTime = field(default_factory=MonitoredTime)
    outages: list[Outage] = field(default_factory=list)

    @property
    def poll_success_percent(self) -> float | None:
        """Return the share of good slots, of those that show whether the device answers; None without any."""
        up = self.verdicts[VerdictKind.OK.value]
        known = up + self.down
        return 100 * up / known if known else None


def availability(*, device_id: int, start: datetime, end: datetime, now: datetime) -> Availability:
    """The range becomes whole hours, or days, where the verdicts, or hours, have been dropped already."""
    start, end = _kept(start, end, now)
    found = Availability(start, end)
    pieces = decompose(VERDICTS.levels, start, end)
    for piece in pieces:
        _count(found, device_id, piece)
    history = _histories([device_id], pieces, start, end)[device_id]
    known = list(spans(history, start, end))
    found.time = time_of(known)
    found.outages = [_outage(span, start) for span in known if not span.is_up][-MAX_OUTAGES:]
    return found


def _outage(span: Span, start: datetime) -> Outage:
    return Outage(
        start=span.start,
        end=None if span.is_open else span.end,
        seconds=span.seconds,
        kind=span.kind,
        error=span.error,
        began_before=span.began_at < start,
    )


def _kept(start: datetime, end: datetime, now: datetime) -> tuple[datetime, datetime]:
    tables = partitioned()
    end = min(end, now)
    for level in VERDICTS.levels:
        if now - tables[level.source].keep > start:
            start, end = floor_to(start, level.interval), min(ceil_to(end, level.interval), now)
    return start, max(start, end)


def histories(device_ids: Sequence[int], start: datetime, end: datetime) -> dict[int, History]:
    """Return what is known of each device in [start, end), and the last before it."""
    return _histories(device_ids, decompose(VERDICTS.levels, start, end), start, end)


# --- Reading ---

LEDGER_COUNTS = f"""
SELECT kind, count(*), count(*) FILTER (WHERE NOT {IS_UP}) FROM polling_verdict
WHERE device_id = %(device)s AND due_at >= %(start)s AND due_at < %(end)s GROUP BY kind
UNION ALL
SELECT 'skipped', count(*), 0 FROM polling_gap AS gap
{skipped_slots("%(start)s", "%(end)s")}
WHERE device_id = %(device)s AND {OF_THESE_MONTHS.format(low="%(start)s", high="%(end)s")}
"""
LEVEL_COUNTS = f"""
SELECT {", ".join(f"coalesce(sum({name}), 0)::bigint" for name in SUMS)} FROM {{table}}
WHERE device_id = %(device)s AND start_at >= %(start)s AND start_at < %(end)s
"""
LEDGER_CHANGES = f"""
SELECT device_id, at, is_up, kind, error FROM (
    SELECT *, lag(is_up) OVER (PARTITION BY device_id ORDER BY at) IS DISTINCT FROM is_up AS is_change FROM (
        SELECT device_id, due_at AS at, kind, error, {IS_UP} AS is_up FROM polling_verdict
        WHERE device_id = ANY(%(devices)s) AND due_at >= %(start)s AND due_at < %(end)s
    ) AS verdict WHERE is_up IS NOT NULL
) AS observation WHERE is_change
"""
LEVEL_CHANGES = """
SELECT device_id, first_at, changes FROM {table}
WHERE device_id = ANY(%(devices)s) AND start_at >= %(start)s AND start_at < %(end)s AND first_at IS NOT NULL
"""
BEFORE_IN_LEDGER = f"""
SELECT wanted.id, last.* FROM unnest(%(devices)s::bigint[]) AS wanted (id) CROSS JOIN LATERAL (
    SELECT due_at, {IS_UP}, kind, error FROM polling_verdict
    WHERE device_id = wanted.id AND due_at < %(start)s AND due_at >= %(start)s - interval '2 days'
      AND {IS_UP} IS NOT NULL
    ORDER BY due_at DESC LIMIT 1
) AS last
"""
BEFORE_IN_LEVEL = """
SELECT wanted.id, last.* FROM unnest(%(devices)s::bigint[]) AS wanted (id) CROSS JOIN LATERAL (
    SELECT first_at, changes FROM {table}
    WHERE device_id = wanted.id AND start_at < %(start)s AND first_at IS NOT NULL
    ORDER BY start_at DESC LIMIT 1
) AS last
"""
# Rows of earlier releases have no `has_failed`; their reason shows it.
STATUS_CHANGES = """
SELECT wanted.id, change.at, change.new_status = 'active',
       change.new_status = 'inactive'
           AND coalesce(change.has_failed, change.reason LIKE '%% failures within the window, the last: %%'),
       change.reason
FROM unnest(%(devices)s::bigint[]) AS wanted (id) CROSS JOIN LATERAL (
    (SELECT * FROM devices_statuschange WHERE device_id = wanted.id AND at < %(start)s
     ORDER BY at DESC, id DESC LIMIT 1)
    UNION ALL
    (SELECT * FROM devices_statuschange
     WHERE device_id = wanted.id AND at >= %(start)s AND at < %(end)s)
) AS change
-- Of a change of the interval alone, which shows nothing new.
WHERE change.old_status <> change.new_status OR change.has_failed IS NOT NULL
ORDER BY change.at, change.id
"""


def _rows(statement: str, **values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _count(found: Availability, device_id: int, piece: Piece) -> None:
    """Add the slots of a piece to `found`."""
    values = {"device": device_id, "start": piece.start, "end": piece.end}
    if piece.level:
        (row,) = _rows(LEVEL_COUNTS.format(table=piece.level.table), **values)
        counts = dict(zip(SUMS, row, strict=True))
        found.verdicts.update({name: counts[name] for name in COUNTS if counts[name]})
        found.down += counts["down"]
        return
    for kind, count, down in _rows(LEDGER_COUNTS, **values):
        if count:
            found.verdicts[kind] += count
            found.down += down


def _histories(
    device_ids: Sequence[int], pieces: Sequence[Piece], start: datetime, end: datetime
) -> dict[int, History]:
    found: defaultdict[int, History] = defaultdict(History)
    for device_id, observation in _before(device_ids, start):
        found[device_id].observations.append(observation)
    for piece in pieces:
        for device_id, observation in _within(device_ids, piece):
            found[device_id].observations.append(observation)
    for device_id, at, is_active, has_failed, reason in _rows(
        STATUS_CHANGES, devices=list(device_ids), start=start, end=end
    ):
        monitoring = Monitoring.ACTIVE if is_active else Monitoring.FAILED if has_failed else Monitoring.OFF
        found[device_id].changes.append(MonitoringChange(at, monitoring, reason))
    return {device_id: found[device_id] for device_id in device_ids}


def _within(device_ids: Sequence[int], piece: Piece) -> Iterator[tuple[int, Observation]]:
    values = {"devices": list(device_ids), "start": piece.start, "end": piece.end}
    if piece.level:
        for device_id, first_at, changes in _rows(LEVEL_CHANGES.format(table=piece.level.table), **values):
            for observation in _observations(first_at, changes):
                yield device_id, observation
        return
    for device_id, *row in _rows(LEDGER_CHANGES, **values):
        yield device_id, Observation(*row)


def _observations(first_at: datetime, changes: str | None) -> list[Observation]:
    """Return the changes of one row of a rollup; an interval that was up throughout has one."""
    if changes is None:
        return [Observation(first_at, True, VerdictKind.OK.value, "")]
    return [
        Observation(from_microseconds(at), kind == VerdictKind.OK, kind, error)
        for at, kind, error in orjson.loads(changes)
    ]


def _before(device_ids: Sequence[int], start: datetime) -> Iterator[tuple[int, Observation]]:
    """Yield the last observation before `start`: from the ledger of two days, else from the rollups."""
    wanted = set(device_ids)
    for device_id, *row in _rows(BEFORE_IN_LEDGER, devices=list(wanted), start=start):
        wanted.discard(device_id)
        yield device_id, Observation(*row)
    for level in VERDICTS.levels:
        if not wanted:
            return
        statement = BEFORE_IN_LEVEL.format(table=level.table)
        for device_id, first_at, changes in _rows(statement, devices=list(wanted), start=level.floor(start)):
            wanted.discard(device_id)
            yield device_id, _observations(first_at, changes)[-1]
