"""The engine of rollups: ladders of levels, each made by SQL from finished intervals of what lies below it.

What a level holds of one device and interval is a function of its source rows alone, and is written by
upsert: making it again, in any order and after any interruption, ends in the same table.

1. *Sealing.* A level says up to where it is going to read (`sealed_until`), under a lock that writers share.
   Whoever wrote before has committed and is read; whoever writes later sees the seal and leaves a LateMark.
2. *Making*, in transactions of some devices each, whose last act is to note how far it has come.
3. *Repairing*: marked intervals are made again, and mark theirs on the level above.

One worker at a time works on a ladder; another finds its lock taken and goes away.
"""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from django.db import DataError, OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Count

from devices.models import Device
from devices.schedule import EPOCH
from metrics.models import LateMark, RollupProgress, Trimmed
from metrics.partitions import is_cut, oldest_row, partitioned, partitions_ensure

logger = logging.getLogger(__name__)

# Longer than a slot's lease: what comes later than this is repaired.
GRACE = timedelta(minutes=2)
MAX_INTERVALS = 12  # made in one go when there is much to catch up with
MAX_DEVICES = 2_000
UNIT_SECONDS = 3.0  # what one transaction should take; the number of devices follows it
SEAL_TIMEOUT = "5s"
WORK_MEM = "64MB"  # grouping some hundred thousand leaves without a file

SEAL_LOCK = "SELECT pg_advisory_xact_lock(hashtext('nms.rollups.seal'))"
SHARE_LOCK = "SELECT pg_advisory_xact_lock_shared(hashtext('nms.rollups.seal'))"
LADDER_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext(%s))"


def floor_to(moment: datetime, step: timedelta) -> datetime:
    """The grid of all steps begins at the epoch, as date_bin's does in the statements."""
    return EPOCH + (moment - EPOCH) // step * step


@dataclass(frozen=True, slots=True)
class Level:
    """`statement` makes the rows of (device, from, until) in the arrays `devices`, `starts`, `ends`; it also
    gets `step`, and `low` and `high` around all of it. `finish` is run for whole intervals, `starts`, when
    all their devices are made, and again after a repair.
    """

    key: str  # in RollupProgress and LateMark
    name: str  # for people: 5m, 1h, 1d
    table: str
    interval: timedelta
    source: str  # a partitioned table
    statement: str
    finish: str = ""
    beside: tuple[str, ...] = ()  # what else the statement reads

    def floor(self, moment: datetime) -> datetime:
        """The start of the interval that holds `moment`; days are UTC's."""
        return floor_to(moment, self.interval)


# The rows wanted, each from its partition: OFFSET 0 keeps the planner from joining whole tables.
WANTED = """
    FROM unnest(%(devices)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
        AS wanted (device_id, start_at, end_at)
    CROSS JOIN LATERAL (
        SELECT * FROM {source}
        WHERE device_id = wanted.device_id
          AND {column} >= wanted.start_at AND {column} < wanted.end_at
          AND {column} >= %(low)s AND {column} < %(high)s
        OFFSET 0
    ) AS source
"""


@dataclass(frozen=True, slots=True)
class Ladder:
    """Levels from the finest up; each is made of the one before."""

    name: str
    levels: tuple[Level, ...]

    def above(self, level: Level) -> Level | None:
        following = self.levels[self.levels.index(level) + 1 :]
        return following[0] if following else None

    def below(self, level: Level) -> Level | None:
        index = self.levels.index(level)
        return self.levels[index - 1] if index else None


# --- For writers of the finest source ---


def writers_share(cursor: CursorWrapper) -> None:
    """To be called in a transaction before its first write of rows that are rolled up. A statement of its
    own: what follows has to see a seal that it waited for.
    """
    cursor.execute(SHARE_LOCK)


def late_note(cursor: CursorWrapper, level: Level, slots: Iterable[tuple[int, datetime]]) -> None:
    """Marks the intervals of those slots that were sealed before. After `writers_share`."""
    cursor.execute("SELECT sealed_until FROM metrics_rollupprogress WHERE level = %s", [level.key])
    row = cursor.fetchone()
    if row is None:
        return
    late = sorted({(device_id, level.floor(moment)) for device_id, moment in slots if moment < row[0]})
    if late:
        devices, starts = zip(*late, strict=True)
        cursor.execute(INSERT_MARKS, [level.key, list(devices), list(starts)])


INSERT_MARKS = """
INSERT INTO metrics_latemark (level, device_id, start_at)
SELECT %s, device_id, start_at FROM unnest(%s::bigint[], %s::timestamptz[]) AS mark (device_id, start_at)
"""


# --- Making ---


class Outcome(Enum):
    WORKED = "worked"
    FINISHED = "finished"
    TAKEN = "taken"  # another worker has the ladder


@dataclass(slots=True)
class Pace:
    """How many device-intervals one transaction makes, so that it takes about UNIT_SECONDS."""

    size: int = 500

    def learn(self, seconds: float) -> None:
        if seconds > UNIT_SECONDS:
            self.size = max(1, self.size // 2)
        elif seconds < UNIT_SECONDS / 4:
            self.size = min(MAX_DEVICES, self.size * 2)


@dataclass(frozen=True, slots=True)
class Span:
    """Intervals of one device: [start, end)."""

    device_id: int
    start: datetime
    end: datetime


def ladder_advance(ladder: Ladder, *, now: datetime, seconds: float = 20.0) -> bool:
    """Repairs and makes what is finished by `now`, for up to `seconds`; True when nothing is left to do
    here.

    The levels take turns: one that cannot keep up does not stop those above it, and with them retention.
    """
    deadline = time.monotonic() + seconds
    turn = seconds / len(ladder.levels)
    paces = {level: Pace() for level in ladder.levels}
    while time.monotonic() < deadline:
        outcomes = set()
        for level in ladder.levels:
            until = min(deadline, time.monotonic() + turn)
            outcome = Outcome.WORKED
            while outcome is Outcome.WORKED and time.monotonic() < until:
                outcome = _advance(ladder, level, now, paces[level])
            if outcome is Outcome.TAKEN:
                return True
            outcomes.add(outcome)
        if outcomes == {Outcome.FINISHED}:
            return True
    return False


@transaction.atomic
def _advance(ladder: Ladder, level: Level, now: datetime, pace: Pace) -> Outcome:
    """One transaction's work on a level: a repair, else some devices, else a new seal."""
    with connection.cursor() as cursor:
        cursor.execute(LADDER_LOCK, [f"nms.rollups.{ladder.name}"])
        if not cursor.fetchone()[0]:
            return Outcome.TAKEN
        cursor.execute("SELECT set_config('work_mem', %s, true)", [WORK_MEM])
        horizon = _horizon(ladder, level, now)
        progress = _progress(level, horizon, now)
        if progress is None:
            _begin(cursor, ladder, level, now)
            return Outcome.WORKED
        started = time.monotonic()
        if _repair(cursor, ladder, level, progress, now, pace) or _make_next(
            cursor, ladder, level, progress, pace
        ):
            pace.learn(time.monotonic() - started)
            return Outcome.WORKED
        return _seal(cursor, level, progress, horizon)


def _horizon(ladder: Ladder, level: Level, now: datetime) -> datetime:
    """Up to where the level can be made: the end of the newest interval whose source is complete."""
    below = ladder.below(level)
    if below is None:
        return level.floor(now - GRACE)
    reached = RollupProgress.objects.filter(level=below.key).values_list("done_until", flat=True).first()
    return level.floor(reached if reached is not None else EPOCH)


def _begin(cursor: CursorWrapper, ladder: Ladder, level: Level, now: datetime) -> None:
    """A level's first seal, before anything of it is made: from now on writers leave marks."""
    _seal_lock(cursor)
    begins = oldest_row(level.source) or now
    below = ladder.below(level)
    if below is not None:
        # It may have made nothing yet of what it has before it.
        reached = RollupProgress.objects.filter(level=below.key).values_list("done_until", flat=True).first()
        begins = min(begins, reached or begins)
    start = level.floor(begins)
    RollupProgress.objects.create(level=level.key, done_until=start, sealed_until=start)


def _seal_lock(cursor: CursorWrapper) -> None:
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [SEAL_TIMEOUT])
    cursor.execute(SEAL_LOCK)


def _progress(level: Level, horizon: datetime, now: datetime) -> RollupProgress | None:
    progress = RollupProgress.objects.filter(level=level.key).first()
    if progress is None:
        return None
    if progress.done_until > horizon and progress.done_until > level.floor(now):
        # The clock was ahead once and has been set right: intervals made then were not finished.
        progress.done_until = progress.sealed_until = horizon
        progress.device_id = 0
        progress.save()
    return progress


def _seal(cursor: CursorWrapper, level: Level, progress: RollupProgress, horizon: datetime) -> Outcome:
    if progress.done_until >= horizon:
        return Outcome.FINISHED
    until = min(horizon, progress.done_until + MAX_INTERVALS * level.interval)
    # Sealing and the partition come first and are committed alone: their locks hold up writers.
    try:
        partitions_ensure(level.table, progress.done_until, until - level.interval)
    except OperationalError:  # somebody reads the table for long: the DEFAULT partition takes the rows
        logger.warning("partitions of %s are made later", level.table)
    _seal_lock(cursor)
    progress.sealed_until, progress.device_id = until, 0
    progress.save()
    return Outcome.WORKED


def _make_next(
    cursor: CursorWrapper, ladder: Ladder, level: Level, progress: RollupProgress, pace: Pace
) -> bool:
    """The next devices of the sealed intervals; False when there is no sealed interval to make."""
    if progress.sealed_until <= progress.done_until:
        return False
    intervals = (progress.sealed_until - progress.done_until) // level.interval
    devices = Device.objects.filter(pk__gt=progress.device_id).order_by("pk").values_list("pk", flat=True)
    batch = list(devices[: max(1, pace.size // intervals)])
    if batch:
        spans = [Span(pk, progress.done_until, progress.sealed_until) for pk in batch]
        _make(cursor, ladder, level, spans)
        progress.device_id = batch[-1]
    else:
        starts = [progress.done_until + n * level.interval for n in range(intervals)]
        _finish(cursor, level, starts)
        progress.done_until, progress.device_id = progress.sealed_until, 0
    progress.save()
    return True


TAKE_MARKS = """
DELETE FROM metrics_latemark WHERE id IN (
    SELECT id FROM metrics_latemark WHERE level = %s ORDER BY id LIMIT %s
) RETURNING device_id, start_at
"""


def _repair(
    cursor: CursorWrapper, ladder: Ladder, level: Level, progress: RollupProgress, now: datetime, pace: Pace
) -> bool:
    """Makes marked intervals again; False when there are none."""
    cursor.execute(TAKE_MARKS, [level.key, pace.size])
    marks = {(device_id, start.astimezone(UTC)) for device_id, start in cursor.fetchall()}
    if not marks:
        return False
    oldest = max(_complete_since(table, now) for table in (level.source, *level.beside))
    # What is left of a deleted device is being erased.
    known = set(Device.objects.filter(pk__in={pk for pk, _ in marks}).values_list("pk", flat=True))
    kept = sorted(mark for mark in marks if mark[1] >= oldest and mark[0] in known)
    _make(cursor, ladder, level, [Span(pk, start, start + level.interval) for pk, start in kept])
    _finish(cursor, level, sorted({start for _, start in kept if start < progress.done_until}))
    return True


def _complete_since(table: str, now: datetime) -> datetime:
    """From where on nothing has been dropped: made again from what retention has left of it, an older
    interval would forget what it knew.
    """
    if not is_cut(table):  # somebody else drops its rows
        return now - partitioned()[table].keep
    return Trimmed.objects.filter(table=table).values_list("until", flat=True).first() or EPOCH


def _finish(cursor: CursorWrapper, level: Level, starts: Sequence[datetime]) -> None:
    if level.finish and starts:
        cursor.execute(level.finish, {"starts": list(starts)})


def _make(cursor: CursorWrapper, ladder: Ladder, level: Level, spans: Sequence[Span]) -> None:
    """An interval of a device whose rows PostgreSQL cannot work on is found by halving, and left out: others
    go on.
    """
    if not spans:
        return
    try:
        with transaction.atomic():
            _make_all(cursor, ladder, level, spans)
    except DataError as error:
        if len(spans) == 1:
            span = spans[0]
            intervals = (span.end - span.start) // level.interval
            if intervals > 1:
                middle_at = span.start + intervals // 2 * level.interval
                _make(cursor, ladder, level, [replace(span, end=middle_at), replace(span, start=middle_at)])
                return
            logger.error(
                "%s: device %s from %s is left out: %s", level.key, span.device_id, span.start, error
            )
            return
        middle = len(spans) // 2
        _make(cursor, ladder, level, spans[:middle])
        _make(cursor, ladder, level, spans[middle:])


def _make_all(cursor: CursorWrapper, ladder: Ladder, level: Level, spans: Sequence[Span]) -> None:
    values: dict[str, Any] = {
        "devices": [span.device_id for span in spans],
        "starts": [span.start for span in spans],
        "ends": [span.end for span in spans],
        "low": min(span.start for span in spans),
        "high": max(span.end for span in spans),
        "step": level.interval,
    }
    cursor.execute(level.statement, values)
    above = ladder.above(level)
    if above is not None:
        late_note(cursor, above, ((span.device_id, span.start) for span in spans))


# --- What it looks like from outside ---


@dataclass(frozen=True, slots=True)
class LevelState:
    """`behind` counts finished intervals that are not made yet; `late` the marked ones."""

    level: Level
    done_until: datetime | None
    behind: int
    late: int


def ladder_state(ladder: Ladder, now: datetime) -> list[LevelState]:
    """Of its levels, from the finest up."""
    done = dict(RollupProgress.objects.values_list("level", "done_until"))
    marks = dict(LateMark.objects.values_list("level").annotate(Count("pk")).order_by())
    states = []
    for level in ladder.levels:
        until = done.get(level.key)
        behind = 0 if until is None else max(0, (level.floor(now - GRACE) - until) // level.interval)
        states.append(LevelState(level, until, behind, marks.get(level.key, 0)))
    return states
