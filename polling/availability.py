"""What the ledger says of a device over any range: how often it answered, and when it did not.

Whole hours and days come from the rollups, the rest from the verdicts themselves while they are kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db import connection

from devices.schedule import from_microseconds
from metrics.levels import Piece, ceil_to, decompose
from metrics.partitions import partitioned
from metrics.rollups import Level, floor_to
from polling.models import VerdictKind
from polling.verdict_rollups import COUNTS, IS_UP, OF_THESE_MONTHS, VERDICTS, Tally, skipped_slots

MAX_OUTAGES = 1_000


@dataclass(frozen=True, slots=True)
class Told:
    """A verdict that says whether the device answers, other than the one before it."""

    at: datetime
    is_up: bool
    kind: str
    error: str


@dataclass(slots=True)
class Outage:
    """From the first failed slot to the first good one. `began_before`: it was down already when the range
    began; `end` is None while nobody knows better.
    """

    start: datetime
    end: datetime | None
    kind: str
    error: str
    began_before: bool = False

    def seconds(self, until: datetime) -> float:
        return ((self.end or until) - self.start).total_seconds()


@dataclass(slots=True)
class Availability:
    """Of [start, end). `down` counts the slots that say the device does not answer; `percent` is of those
    that say either, None where there are none.
    """

    start: datetime
    end: datetime
    verdicts: Tally = field(default_factory=Tally)
    down: int = 0
    outages: list[Outage] = field(default_factory=list)

    @property
    def percent(self) -> float | None:
        up = self.verdicts[VerdictKind.OK.value]
        known = up + self.down
        return 100 * up / known if known else None


def availability(*, device_id: int, start: datetime, end: datetime, now: datetime) -> Availability:
    """The range becomes whole hours, or days, where the verdicts, or hours, have been dropped already."""
    start, end = _kept(start, end, now)
    found = Availability(start, end)
    told: list[Told] = []
    for piece in decompose(VERDICTS.levels, start, end):
        told += (
            _of_level(found, device_id, piece, piece.level)
            if piece.level
            else _of_ledger(found, device_id, piece)
        )
    before = _before(device_id, start)
    found.outages = list(_outages(before, told, start))[-MAX_OUTAGES:]
    return found


def _kept(start: datetime, end: datetime, now: datetime) -> tuple[datetime, datetime]:
    tables = partitioned()
    end = min(end, now)
    for level in VERDICTS.levels:
        if now - tables[level.source].keep > start:
            start, end = floor_to(start, level.interval), min(ceil_to(end, level.interval), now)
    return start, max(start, end)


# --- Reading ---

LEDGER_COUNTS = f"""
SELECT kind, count(*), count(*) FILTER (WHERE NOT {IS_UP}) FROM polling_verdict
WHERE device_id = %(device)s AND due_at >= %(start)s AND due_at < %(end)s GROUP BY kind
UNION ALL
SELECT 'skipped', count(*), 0 FROM polling_gap AS gap
{skipped_slots("%(start)s", "%(end)s")}
WHERE device_id = %(device)s AND {OF_THESE_MONTHS.format(low="%(start)s", high="%(end)s")}
"""
LEDGER_CHANGES = f"""
SELECT at, is_up, kind, error FROM (
    SELECT at, is_up, kind, error, lag(is_up) OVER (ORDER BY at) IS DISTINCT FROM is_up AS is_change FROM (
        SELECT due_at AS at, kind, error, {IS_UP} AS is_up FROM polling_verdict
        WHERE device_id = %(device)s AND due_at >= %(start)s AND due_at < %(end)s
    ) AS verdict WHERE is_up IS NOT NULL
) AS told WHERE is_change ORDER BY at
"""
LEVEL_ROWS = f"""
SELECT first_at, changes, down, {", ".join(COUNTS)} FROM {{table}}
WHERE device_id = %(device)s AND start_at >= %(start)s AND start_at < %(end)s ORDER BY start_at
"""
BEFORE_IN_LEDGER = f"""
SELECT due_at, {IS_UP}, kind, error FROM polling_verdict
WHERE device_id = %(device)s AND due_at < %(start)s AND due_at >= %(start)s - interval '2 days'
  AND {IS_UP} IS NOT NULL
ORDER BY due_at DESC LIMIT 1
"""
BEFORE_IN_LEVEL = """
SELECT first_at, changes FROM {table}
WHERE device_id = %(device)s AND start_at < %(start)s AND first_at IS NOT NULL ORDER BY start_at DESC LIMIT 1
"""


def _read(
    statement: str, device_id: int, start: datetime, end: datetime | None = None
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, {"device": device_id, "start": start, "end": end})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _of_ledger(found: Availability, device_id: int, piece: Piece) -> list[Told]:
    """Counts into `found`; returns the changes."""
    for kind, count, down in _read(LEDGER_COUNTS, device_id, piece.start, piece.end):
        if count:
            found.verdicts[kind] += count
            found.down += down
    return [Told(*row) for row in _read(LEDGER_CHANGES, device_id, piece.start, piece.end)]


def _of_level(found: Availability, device_id: int, piece: Piece, level: Level) -> list[Told]:
    """The same from rollups."""
    told: list[Told] = []
    for first_at, changes, down, *numbers in _read(
        LEVEL_ROWS.format(table=level.table), device_id, piece.start, piece.end
    ):
        found.verdicts.update({name: n for name, n in zip(COUNTS, numbers, strict=True) if n})
        found.down += down
        told += _told(first_at, changes)
    return told


def _told(first_at: datetime | None, changes: str | None) -> list[Told]:
    """The changes of one row of a rollup; an interval that was up throughout says so once."""
    if changes is not None:
        return [
            Told(from_microseconds(at), kind == VerdictKind.OK, kind, error)
            for at, kind, error in orjson.loads(changes)
        ]
    return [] if first_at is None else [Told(first_at, True, VerdictKind.OK.value, "")]


def _before(device_id: int, start: datetime) -> Told | None:
    """The last that was known of the device before the range: from the ledger of two days, else from the
    rollups.
    """
    for row in _read(BEFORE_IN_LEDGER, device_id, start):
        return Told(*row)
    for level in VERDICTS.levels:
        for first_at, changes in _read(
            BEFORE_IN_LEVEL.format(table=level.table), device_id, level.floor(start)
        ):
            return _told(first_at, changes)[-1]
    return None


def _outages(before: Told | None, told: Sequence[Told], start: datetime) -> Iterator[Outage]:
    current = None
    if before is not None and not before.is_up:
        current = Outage(start, None, before.kind, before.error, began_before=True)
    for change in told:
        if change.is_up and current is not None:
            current.end = change.at
            yield current
            current = None
        elif not change.is_up and current is None:
            current = Outage(change.at, None, change.kind, change.error)
    if current is not None:
        yield current


# --- Round-trip time and loss ---


@dataclass(frozen=True, slots=True)
class PingPoint:
    """One step; RTT in milliseconds, None where nothing answered. `count` is how many slots were pinged."""

    timestamp: datetime
    rtt_min: float | None
    rtt_avg: float | None
    rtt_max: float | None
    loss_percent: float | None
    count: int


PING_LEDGER = """
SELECT due_at AS at, rtt_ms AS rtt_min, rtt_ms AS rtt_max, coalesce(rtt_ms, 0) AS rtt_total,
       (rtt_ms IS NOT NULL)::int AS rtt_count, coalesce(loss_percent, 0) AS loss_total,
       (loss_percent IS NOT NULL)::int AS loss_count
FROM polling_verdict WHERE device_id = %(device)s AND due_at >= %(start{i})s AND due_at < %(end{i})s
"""
PING_LEVEL = """
SELECT start_at AS at, rtt_min, rtt_max, rtt_total, rtt_count, loss_total, loss_count
FROM {table} WHERE device_id = %(device)s AND start_at >= %(start{i})s AND start_at < %(end{i})s
"""
PING = """
SELECT date_bin(%(step)s, at, timestamptz 'epoch') AS bucket,
       min(rtt_min), sum(rtt_total) / nullif(sum(rtt_count), 0), max(rtt_max),
       sum(loss_total) / nullif(sum(loss_count), 0), sum(loss_count)::bigint
FROM ({parts}) AS part GROUP BY bucket HAVING sum(loss_count) > 0 ORDER BY bucket
"""


def ping_series(*, device_id: int, pieces: Iterable[Piece], step: timedelta) -> list[PingPoint]:
    """Oldest first; steps in which nobody pinged are left out."""
    values: dict[str, Any] = {"device": device_id, "step": step}
    parts = []
    for i, piece in enumerate(pieces):
        source = PING_LEVEL if piece.level else PING_LEDGER
        parts.append(source.format(i=i, table=piece.level.table if piece.level else ""))
        values[f"start{i}"], values[f"end{i}"] = piece.start, piece.end
    if not parts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(PING.format(parts=" UNION ALL ".join(parts)), values)
        return [PingPoint(*row) for row in cursor.fetchall()]
