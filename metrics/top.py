"""Rankings: which devices have the most, or the least, of something over a range."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from metrics.levels import RAW, Piece, ceil_to, decompose, level_name
from metrics.partitions import partitioned
from metrics.paths import path_text
from metrics.queries import reading
from metrics.rollups import floor_to
from metrics.sample_rollups import SAMPLES, keys_only, leaf_at, number_at
from metrics.series import VALUES, Aggregation

FINE, HOURS, DAYS = SAMPLES.levels
# The ends of a range are moved to whole intervals of a level that leaves few rows to read for each device.
EDGES = ((timedelta(hours=6), FINE), (timedelta(days=7), HOURS))

UNROLLED = timedelta(minutes=15)  # more than that is never without rollups for long


@dataclass(frozen=True, slots=True)
class TopPlan:
    """What is really ranked: [start, end), from rollups, or from samples where nothing is rolled up yet."""

    level: str
    start: datetime
    end: datetime
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    device_id: int
    hostname: str
    ip_address: str
    value: float
    count: int


def plan_top(*, start: datetime, end: datetime, now: datetime) -> TopPlan:
    """Whole intervals around [start, end), up to what is rolled up: a ranking does not mix fresh and old
    devices.
    """
    end = max(start, min(end, now))
    edge = next((level for length, level in EDGES if end - start <= length), DAYS)
    tables = partitioned()
    while now - tables[edge.table].keep > start and edge is not DAYS:
        edge = SAMPLES.levels[SAMPLES.levels.index(edge) + 1]
    low, high = floor_to(start, edge.interval), ceil_to(end, edge.interval)
    pieces = tuple(piece for piece in decompose(SAMPLES.levels, low, high) if piece.level)
    if not pieces:
        start = max(start, end - UNROLLED)
        return TopPlan(RAW, start, end, (Piece(None, start, end),))
    return TopPlan(level_name(pieces), low, pieces[-1].end, pieces)


SPOTS = """
WITH spots AS MATERIALIZED (
    SELECT id, array_position(paths, %(path)s) AS position FROM metrics_layout
    WHERE greatest(used_5m, used_1h, used_1d) >= %(start)s::date - 1 AND paths @> ARRAY[%(path)s]
)"""
LEVEL_COLUMNS = """
SELECT device_id, start_at AS at, {columns}
FROM {table} JOIN spots ON id = layout
WHERE start_at >= %(start{i})s AND start_at < %(end{i})s"""
OF_LEVEL = leaf_at("array_position(moved, position::smallint)")
SAMPLE_COLUMNS = (
    """
SELECT device_id, due_at AS at, {columns}
FROM metrics_sample"""
    + number_at("%(segments)s::text[]", "%(keys)s::int[]")
    + """
WHERE due_at >= %(start{i})s AND due_at < %(end{i})s"""
)
OF_SAMPLE = {**dict.fromkeys(("low", "high", "total", "last"), "value"), "count": "1::bigint"}
# Each aggregation reads only what it needs: taking a value out of an array is most of the work.
NEEDS = {
    Aggregation.AVG: ("total", "count"),
    Aggregation.MIN: ("low", "count"),
    Aggregation.MAX: ("high", "count"),
    Aggregation.LAST: ("last", "count"),
    Aggregation.SUM: ("total", "count"),
    Aggregation.COUNT: ("count",),
}
RANKED = """
, ranked AS (
    SELECT device_id, {value} AS value, sum(count) AS count FROM ({parts}) AS part GROUP BY device_id
)
SELECT device_id, hostname, host(ip_address), value, count::bigint
FROM ranked JOIN devices_device AS device ON device.id = device_id
WHERE (%(devices)s::bigint[] IS NULL OR device_id = ANY(%(devices)s::bigint[]))
ORDER BY value {order}, device_id LIMIT %(limit)s
"""


def devices_top(
    *,
    plan: TopPlan,
    path: Sequence[str],
    aggregation: Aggregation,
    limit: int,
    is_descending: bool,
    device_ids: Sequence[int] | None,
) -> list[Ranked]:
    """The first `limit` devices; those without a value are not ranked."""
    values: dict[str, Any] = {
        "path": path_text(path),
        "segments": list(path),
        "keys": keys_only(path),
        "start": plan.start,
        "limit": limit,
        "devices": None if device_ids is None else list(device_ids),
    }
    parts = []
    for i, piece in enumerate(plan.pieces):
        columns = OF_LEVEL if piece.level else OF_SAMPLE
        source = LEVEL_COLUMNS if piece.level else SAMPLE_COLUMNS
        chosen = ", ".join(f"{columns[name]} AS {name}" for name in NEEDS[aggregation])
        parts.append(source.format(i=i, columns=chosen, table=piece.level.table if piece.level else ""))
        values[f"start{i}"], values[f"end{i}"] = piece.start, piece.end
    order = "DESC" if is_descending else "ASC"
    ranked = RANKED.format(value=VALUES[aggregation], parts=" UNION ALL ".join(parts), order=order)
    with reading() as cursor:
        cursor.execute(SPOTS + ranked, values)
        return [Ranked(*row) for row in cursor.fetchall()]
