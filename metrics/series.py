"""Downsampled series of one device: one statement over rollups and the samples that are not rolled up yet."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from django.db import models

from metrics.levels import Piece, Plan
from metrics.paths import path_text
from metrics.queries import reading
from metrics.sample_rollups import keys_only, leaf_at, number_at


class Aggregation(models.TextChoices):
    AVG = "avg", "average"
    MIN = "min", "least"
    MAX = "max", "greatest"
    LAST = "last", "newest"
    SUM = "sum", "sum"
    COUNT = "count", "number of values"


# Of low, high, total, count, and last as the greatest (time, value).
VALUES = {
    Aggregation.AVG: "sum(total) / sum(count)",
    Aggregation.MIN: "min(low)",
    Aggregation.MAX: "max(high)",
    Aggregation.LAST: "(max(ARRAY[extract(epoch FROM at)::float8, last]))[2]",
    Aggregation.SUM: "sum(total)",
    Aggregation.COUNT: "sum(count)::float8",
}

WANTED = """
WITH wanted AS MATERIALIZED (
    SELECT position::int AS n, value ->> 'path' AS path,
           ARRAY(SELECT jsonb_array_elements_text(value -> 'segments')) AS segments,
           ARRAY(SELECT jsonb_array_elements(value -> 'keys')::int) AS keys
    FROM jsonb_array_elements(%(paths)s::jsonb) WITH ORDINALITY AS element (value, position)
)"""
# n = 0 counts the samples themselves, whatever paths they have.
FROM_SAMPLES = (
    """
, samples{i} AS (
    SELECT due_at, data FROM metrics_sample
    WHERE device_id = %(device)s AND due_at >= %(start{i})s AND due_at < %(end{i})s
), part{i} AS (
    SELECT n, due_at AS at, value AS low, value AS high, value AS total, 1 AS count, value AS last
    FROM samples{i} CROSS JOIN wanted"""
    + number_at("segments", "keys")
    + """
    UNION ALL SELECT 0, due_at, 0, 0, 0, 1, 0 FROM samples{i}
)"""
)
FROM_LEVEL = """
, rows{i} AS MATERIALIZED (
    SELECT * FROM {table} WHERE device_id = %(device)s AND start_at >= %(start{i})s AND start_at < %(end{i})s
), spots{i} AS MATERIALIZED (
    SELECT id, n, array_position(paths, path) AS position FROM metrics_layout CROSS JOIN wanted
    WHERE id IN (SELECT layout FROM rows{i})
), part{i} AS (
    SELECT n, start_at AS at, {leaf}
    FROM rows{i} JOIN spots{i} ON id = layout AND position IS NOT NULL
    CROSS JOIN LATERAL (SELECT array_position(moved, position::smallint) AS moved_at) AS spot
    UNION ALL SELECT 0, start_at, 0, 0, 0, samples, 0 FROM rows{i}
)"""
LEAF = ", ".join(f"{value} AS {name}" for name, value in leaf_at("moved_at").items())
GROUPED = """
SELECT n, date_bin(%(step)s, at, timestamptz 'epoch') AS bucket, {value}, sum(count)::bigint
FROM ({parts}) AS part GROUP BY n, bucket ORDER BY n, bucket
"""


@dataclass(frozen=True, slots=True)
class Point:
    """`timestamp` is the start of its step; `count` says how many values are in it."""

    timestamp: datetime
    value: float
    count: int


@dataclass(slots=True)
class PathSeries:
    path: str
    points: list[Point] = field(default_factory=list)


def device_series(
    *, device_id: int, paths: Sequence[Sequence[str]], plan: Plan, aggregation: Aggregation
) -> tuple[int, list[PathSeries]]:
    """How many samples the range holds, and a series for each path, oldest first. Steps without a value are
    left out.

    A slot belongs to the step in which it was due.
    """
    series = [PathSeries(path_text(segments)) for segments in paths]
    got = 0
    for n, bucket, value, count in _rows(device_id, paths, plan, VALUES[aggregation]):
        if n == 0:
            got += count
        else:
            series[n - 1].points.append(Point(bucket, value, count))
    return got, series


@dataclass(frozen=True, slots=True)
class Band:
    """The values of one step: the least, their mean, the greatest."""

    timestamp: datetime
    low: float
    mean: float
    high: float


def device_bands(*, device_id: int, paths: Sequence[Sequence[str]], plan: Plan) -> list[list[Band]]:
    """For each path, oldest first; steps without a value are left out."""
    bands: list[list[Band]] = [[] for _ in paths]
    chosen = ", ".join(VALUES[each] for each in (Aggregation.MIN, Aggregation.AVG, Aggregation.MAX))
    for n, bucket, low, mean, high, _ in _rows(device_id, paths, plan, chosen):
        if n > 0:
            bands[n - 1].append(Band(bucket, low, mean, high))
    return bands


def _rows(device_id: int, paths: Sequence[Sequence[str]], plan: Plan, chosen: str) -> list[tuple[Any, ...]]:
    """(number of the path from 1, start of the step, what was chosen, count) by path and time."""
    if not plan.pieces:
        return []
    wanted = [
        {"path": path_text(segments), "segments": list(segments), "keys": keys_only(segments)}
        for segments in paths
    ]
    values: dict[str, Any] = {"device": device_id, "paths": orjson.dumps(wanted).decode(), "step": plan.step}
    statement = _statement(plan.pieces, chosen, values)
    with reading() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def _statement(pieces: Sequence[Piece], chosen: str, values: dict[str, Any]) -> str:
    """The names in it are this module's; what a caller sent goes into `values`."""
    statement, parts = WANTED, []
    for i, piece in enumerate(pieces):
        source = FROM_LEVEL if piece.level else FROM_SAMPLES
        statement += source.format(i=i, leaf=LEAF, table=piece.level.table if piece.level else "")
        parts.append(f"SELECT * FROM part{i}")
        values[f"start{i}"], values[f"end{i}"] = piece.start, piece.end
    return statement + GROUPED.format(value=chosen, parts=" UNION ALL ".join(parts))
