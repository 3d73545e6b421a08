"""Reads of samples by JSON path: one statement for any number of devices, newest first."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from metrics.sample_rollups import keys_only, value_at

STATEMENT_TIMEOUT = "20s"  # a range of years for hundreds of devices must not hold a server for minutes

# A sample is taken within its lease, so due_at bounds the partitions that a range of sampling times can
# touch. The path is a bound array, never part of the statement.
SERIES = f"""
SELECT wanted.device_id, sample.sampled_at, sample.value::text
FROM unnest(%(devices)s::bigint[]) AS wanted (device_id)
CROSS JOIN LATERAL (
    SELECT sampled_at, found.value
    FROM metrics_sample
    CROSS JOIN LATERAL (SELECT {value_at("%(path)s::text[]", "%(keys)s::int[]")} AS value) AS found
    WHERE device_id = wanted.device_id
      AND due_at >= %(start)s::timestamptz - interval '10 minutes' AND due_at <= %(end)s
      AND sampled_at >= %(start)s AND sampled_at <= %(end)s
      AND found.value IS NOT NULL
    ORDER BY due_at DESC
    LIMIT %(limit)s
) AS sample
"""
MAX_CHARACTERS = 32_000_000  # of all values of an answer
ROWS_AT_A_TIME = 100

# The newest sample by its key, which the run state knows: no partition is searched.
NEWEST_SAMPLE = """LEFT JOIN LATERAL (
    SELECT sampled_at, data FROM metrics_sample
    WHERE device_id = state.device_id AND due_at = state.newest_sample_at
    OFFSET 0
) AS sample ON true"""
NEWEST = f"""
SELECT device.id, coalesce(sample.sampled_at, state.newest_sample_at),
       state.newest_sample_at IS NULL
       OR coalesce(sample.sampled_at, state.newest_sample_at)
          < %(now)s - 2 * make_interval(secs => device.polling_interval_seconds)
FROM devices_device AS device
JOIN devices_pollstate AS state ON state.device_id = device.id
{NEWEST_SAMPLE}
WHERE device.id = ANY(%(devices)s)
"""


@contextmanager
def reading() -> Iterator[CursorWrapper]:
    """A cursor for statements that may read much: none of them for longer than STATEMENT_TIMEOUT."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [STATEMENT_TIMEOUT])
        yield cursor


@dataclass(frozen=True, slots=True)
class Freshness:
    """`as_of` is the time of the newest sample of all; stale when that is older than two intervals."""

    as_of: datetime | None = None
    is_stale: bool = True


def freshness_of(device_ids: Sequence[int], now: datetime) -> dict[int, Freshness]:
    with connection.cursor() as cursor:
        cursor.execute(NEWEST, {"devices": list(device_ids), "now": now})
        return {device_id: Freshness(as_of, is_stale) for device_id, as_of, is_stale in cursor.fetchall()}


class TooMuch(Exception):
    """The answer would hold more than MAX_CHARACTERS."""


@dataclass(slots=True)
class Series:
    """One device's values, newest first. `as_of` is its newest sample of all; stale when older than two
    intervals.
    """

    device_id: int
    as_of: datetime | None = None
    is_stale: bool = True
    points: list[tuple[datetime, Any]] = field(default_factory=list)


def series_query(
    *,
    device_ids: Sequence[int],
    path: Sequence[str],
    start: datetime,
    end: datetime,
    limit: int,
    now: datetime,
) -> list[Series]:
    """One Series for each distinct id, in the order given; an unknown device has an empty one.

    Raises TooMuch before the answer outgrows the memory of a server that many ask at once.
    """
    series = {device_id: Series(device_id) for device_id in device_ids}
    size = 0
    with reading(), connection.chunked_cursor() as cursor:
        known = freshness_of(list(series), now)
        for device_id, freshness in known.items():
            series[device_id].as_of, series[device_id].is_stale = freshness.as_of, freshness.is_stale
        values: dict[str, Any] = {
            "devices": list(known),  # one that was deleted has samples until they are erased
            "path": list(path),
            "keys": keys_only(path),
            "start": start,
            "end": end,
            "limit": limit,
        }
        cursor.execute(SERIES, values)
        while rows := cursor.fetchmany(ROWS_AT_A_TIME):
            for device_id, sampled_at, value in rows:
                size += len(value)
                if size > MAX_CHARACTERS:
                    raise TooMuch
                series[device_id].points.append((sampled_at, orjson.loads(value)))
    return list(series.values())
