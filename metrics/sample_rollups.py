"""The rollups of samples: every numeric leaf of a device's documents over 5 minutes, hours and days.

A leaf's path is its keys joined by dots, a dot or backslash within a key escaped by a backslash, an element
of an array by its number. Booleans, texts and null are no numbers. Left out are paths longer than a query may
name, what lies beyond ±1e300 (sums of it could not be held), and of an interval with more than 20,000 paths
the last ones.
"""

import re
from collections.abc import Sequence
from datetime import timedelta

from metrics.rollups import WANTED, Ladder, Level

MAX_LEAVES = 20_000  # no less than what one document may hold; positions in a layout are smallints

# What is taken for a number, of a jsonb value.
IS_NUMBER = "jsonb_typeof({value}) = 'number' AND abs({value}::numeric) <= 1e300"
NUMBER = "CASE WHEN abs({value}::numeric) < 1e-300 THEN 0 ELSE {value}::float8 END"
# Segments that PostgreSQL would take for a position in an array, though no position is written so.
NO_POSITION = re.compile(r"\s*[+-][0-9]+|\s+[0-9]+|0[0-9]+")


def keys_only(segments: Sequence[str]) -> list[int]:
    """Which of the segments, counted from 1, can only be keys of objects."""
    return [place for place, segment in enumerate(segments, 1) if NO_POSITION.fullmatch(segment)]


def value_at(segments: str, keys: str) -> str:
    """The value at a path of a sample's `data`, null without one. `segments` is a text array that leads to
    it, `keys` an array of `keys_only`.
    """
    return f"""CASE WHEN cardinality({keys}) = 0 OR NOT EXISTS (
        SELECT FROM unnest({keys}) AS place WHERE jsonb_typeof(data #> ({segments})[:place - 1]) = 'array'
    ) THEN data #> {segments} END"""


def number_at(segments: str, keys: str) -> str:
    """The number there, if there is one: joins its `value` to a sample."""
    return f"""
CROSS JOIN LATERAL (SELECT {value_at(segments, keys)} AS found) AS leaf
CROSS JOIN LATERAL (
    SELECT {NUMBER.format(value="found")} AS value WHERE {IS_NUMBER.format(value="found")}
) AS number"""


def leaf_at(spot: str) -> dict[str, str]:
    """How the leaf at `position` of a rollup's layout is read; `spot` is its place among those that moved."""
    return {
        "low": f"coalesce(low[{spot}], last[position])",
        "high": f"coalesce(high[{spot}], last[position])",
        "total": f"coalesce(total[{spot}], last[position] * samples)",
        "count": f"coalesce(counts[{spot}], samples)::bigint",
        "last": "last[position]",
    }


# All leaves of the rollups in {rollups}, one row for each.
LEAVES = """
SELECT rollup.device_id, rollup.start_at, leaf.path, leaf.last,
       coalesce(rollup.low[spot], leaf.last) AS low, coalesce(rollup.high[spot], leaf.last) AS high,
       coalesce(rollup.total[spot], leaf.last * rollup.samples) AS total,
       coalesce(rollup.counts[spot], rollup.samples) AS count
FROM {rollups} AS rollup
JOIN metrics_layout AS layout ON layout.id = rollup.layout
CROSS JOIN LATERAL unnest(layout.paths, rollup.last) WITH ORDINALITY AS leaf (path, last, position)
CROSS JOIN LATERAL (SELECT array_position(rollup.moved, leaf.position::smallint) AS spot) AS found"""

# stat: one row for each device, interval and path, from samples. The last value is found by comparing arrays
# of (time, value), which needs no sort.
FROM_SAMPLES = (
    """
WITH RECURSIVE source AS (
    SELECT source.device_id, source.due_at, source.data,
           date_bin(%(step)s, source.due_at, timestamptz 'epoch') AS start_at"""
    + WANTED.format(source="metrics_sample", column="due_at")
    + """
), node (device_id, start_at, due_at, path, value) AS (
    SELECT device_id, start_at, due_at, '', data FROM source
    UNION ALL
    SELECT node.device_id, node.start_at, node.due_at,
           CASE WHEN node.path = '' THEN inner_node.key ELSE node.path || '.' || inner_node.key END,
           inner_node.value
    FROM node CROSS JOIN LATERAL (
        SELECT replace(replace(key, '\\', '\\\\'), '.', '\\.') AS key, value
        FROM jsonb_each(CASE jsonb_typeof(node.value) WHEN 'object' THEN node.value ELSE '{}' END)
        WHERE key <> ''
        UNION ALL
        SELECT (position - 1)::text, value
        FROM jsonb_array_elements(CASE jsonb_typeof(node.value) WHEN 'array' THEN node.value ELSE '[]' END)
             WITH ORDINALITY AS element (value, position)
    ) AS inner_node
    WHERE jsonb_typeof(node.value) IN ('object', 'array') AND length(node.path) < 128
), leaf AS (
    SELECT device_id, start_at, due_at, path, """
    + NUMBER.format(value="value")
    + """ AS value
    FROM node WHERE """
    + IS_NUMBER.format(value="value")
    + """ AND length(path) <= 128 AND path <> ''
), counted AS (
    SELECT device_id, start_at, count(*) AS samples FROM source GROUP BY device_id, start_at
), stat AS (
    SELECT device_id, start_at, path, min(value) AS low, max(value) AS high, sum(value) AS total,
           count(*) AS count, (max(ARRAY[extract(epoch FROM due_at)::float8, value]))[2] AS last
    FROM leaf GROUP BY device_id, start_at, path
),"""
)

COARSE = "date_bin(%(step)s, start_at, timestamptz 'epoch') AS start_at"
FROM_ROLLUPS = (
    "WITH source AS MATERIALIZED (SELECT source.*"
    + WANTED
    + "), leaf AS ("
    + LEAVES.format(rollups="source")
    + f"""
), counted AS (
    SELECT device_id, {COARSE}, sum(samples) AS samples FROM source GROUP BY 1, 2
), stat AS (
    SELECT device_id, {COARSE}, path, min(low) AS low, max(high) AS high, sum(total) AS total,
           sum(count) AS count, (max(ARRAY[extract(epoch FROM start_at)::float8, last]))[2] AS last
    FROM leaf GROUP BY 1, 2, 3
),"""
)

# Packs the rows of `stat` into arrays over a layout. The columns that PostgreSQL's upsert needs named are
# named once more: an interval made again replaces all that was there.
PACK = """
numbered AS (
    SELECT stat.*, samples, low <> high OR count <> samples AS has_moved,
           row_number() OVER (PARTITION BY device_id, start_at ORDER BY path COLLATE "C") AS position
    FROM stat JOIN counted USING (device_id, start_at)
), packed AS (
    SELECT device_id, start_at,
           array_agg(path ORDER BY position) AS paths,
           array_agg(last ORDER BY position) AS last,
           array_agg(position::smallint ORDER BY position) FILTER (WHERE has_moved) AS moved,
           array_agg(low ORDER BY position) FILTER (WHERE has_moved) AS low,
           array_agg(high ORDER BY position) FILTER (WHERE has_moved) AS high,
           array_agg(total ORDER BY position) FILTER (WHERE has_moved) AS total,
           array_agg(least(count, 32767)::smallint ORDER BY position) FILTER (WHERE has_moved) AS counts
    FROM numbered WHERE position <= {leaves} GROUP BY device_id, start_at
), made AS MATERIALIZED (
    SELECT device_id, start_at, samples, coalesce(paths, '{{}}') AS paths, coalesce(last, '{{}}') AS last,
           moved, low, high, total, counts,
           encode(
               substring(sha256(convert_to(coalesce(paths::text, '{{}}'), 'UTF8')) FOR 16), 'hex'
           )::uuid AS layout
    FROM counted LEFT JOIN packed USING (device_id, start_at)
), layouts AS (
    INSERT INTO metrics_layout AS known (id, paths, used_{name})
    SELECT layout, min(paths), max(start_at)::date FROM made GROUP BY layout ORDER BY layout
    ON CONFLICT (id) DO UPDATE SET used_{name} = excluded.used_{name}
        WHERE known.used_{name} IS NULL OR known.used_{name} < excluded.used_{name}
)
INSERT INTO metrics_rollup_{name}
    (device_id, start_at, layout, samples, last, moved, low, high, total, counts)
SELECT device_id, start_at, layout, samples, last, moved, low, high, total, counts FROM made
ON CONFLICT (device_id, start_at) DO UPDATE SET
    layout = excluded.layout, samples = excluded.samples, last = excluded.last, moved = excluded.moved,
    low = excluded.low, high = excluded.high, total = excluded.total, counts = excluded.counts
"""


def _statement(source: str | None, name: str) -> str:
    pack = PACK.format(name=name, leaves=MAX_LEAVES)
    if source is None:
        return FROM_SAMPLES + pack
    return FROM_ROLLUPS.format(source=source, column="start_at") + pack


def _level(name: str, interval: timedelta, source: str | None) -> Level:
    return Level(
        key=f"samples.{name}",
        name=name,
        table=f"metrics_rollup_{name}",
        interval=interval,
        source=source or "metrics_sample",
        statement=_statement(source, name),
    )


SAMPLES = Ladder(
    "samples",
    (
        _level("5m", timedelta(minutes=5), None),
        _level("1h", timedelta(hours=1), "metrics_rollup_5m"),
        _level("1d", timedelta(days=1), "metrics_rollup_1h"),
    ),
)
