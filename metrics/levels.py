"""Which rows answer a question: the coarsest level that is fine enough, and finer ones where it has not come
yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from metrics.models import RollupProgress
from metrics.partitions import partitioned
from metrics.rollups import Ladder, Level, floor_to
from metrics.sample_rollups import SAMPLES

RAW = "raw"
# Steps that people read easily, all multiples of the level they are answered from.
STEPS = tuple(
    timedelta(seconds=seconds)
    for seconds in (10, 30, 60, 300, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000)
)
AUTOMATIC_POINTS = 500


@dataclass(frozen=True, slots=True)
class Piece:
    """[start, end) is answered from `level`, or from the samples themselves where it is None."""

    level: Level | None
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Plan:
    """`level` names the coarsest rows used; `pieces` lie side by side, oldest first."""

    level: str
    step: timedelta
    start: datetime
    end: datetime
    pieces: tuple[Piece, ...]


def step_automatic(length: timedelta, interval: timedelta) -> timedelta:
    """So that a range has about AUTOMATIC_POINTS at most, and no step is shorter than the device's
    interval.
    """
    wanted = max(length / AUTOMATIC_POINTS, interval)
    return next((step for step in STEPS if step >= wanted), STEPS[-1])


def ceil_to(moment: datetime, step: timedelta) -> datetime:
    floor = floor_to(moment, step)
    return floor if floor == moment else floor + step


def decompose(levels: Sequence[Level], start: datetime, end: datetime) -> tuple[Piece, ...]:
    """[start, end) as whole intervals of the coarsest of these levels that are made, oldest first; what lies
    between them is left to the samples, or whatever the finest level is made of.
    """
    done = dict(RollupProgress.objects.values_list("level", "done_until"))
    pieces: list[Piece] = []
    gaps = [(start, end)] if start < end else []
    for level in reversed(levels):
        rest: list[tuple[datetime, datetime]] = []
        for low, high in gaps:
            first = ceil_to(low, level.interval)
            last = floor_to(min(high, done.get(level.key, low)), level.interval)
            if first >= last:
                rest.append((low, high))
                continue
            pieces.append(Piece(level, first, last))
            rest += [(one, two) for one, two in ((low, first), (last, high)) if one < two]
        gaps = rest
    pieces += [Piece(None, low, high) for low, high in gaps]
    return tuple(sorted(pieces, key=lambda piece: piece.start))


def plan_series(
    *, start: datetime, end: datetime, step: timedelta, now: datetime, ladder: Ladder = SAMPLES
) -> Plan:
    """Whole steps around [start, end), up to now: none of a range that is wholly ahead.

    Where rows that are fine enough have been dropped already, the step becomes longer.
    """
    level = _level_for(ladder, start, step, now)
    if level is not None and step % level.interval:
        step = (step // level.interval + 1) * level.interval
    low = floor_to(start, step)
    high = max(low, min(ceil_to(end, step), now))
    levels = ladder.levels[: ladder.levels.index(level) + 1] if level else ()
    pieces = decompose(levels, low, high)
    return Plan(level_name(pieces), step, low, high, pieces)


def level_name(pieces: Sequence[Piece]) -> str:
    """Of the coarsest rows that are read."""
    levels = [piece.level for piece in pieces if piece.level]
    return max(levels, key=lambda level: level.interval).name if levels else RAW


def _level_for(ladder: Ladder, start: datetime, step: timedelta, now: datetime) -> Level | None:
    tables = partitioned()
    fitting = [level for level in ladder.levels if not step % level.interval]
    chosen = fitting[-1] if fitting else None
    kept = tables[chosen.table if chosen else ladder.levels[0].source].keep
    if now - kept <= start:
        return chosen
    coarser = [level for level in ladder.levels if chosen is None or level.interval > chosen.interval]
    reaching = [level for level in coarser if now - tables[level.table].keep <= start]
    if reaching:
        return reaching[0]
    return coarser[-1] if coarser else chosen
