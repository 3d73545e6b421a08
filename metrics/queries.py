"""Reads of samples by JSON path: one statement for any number of devices, newest first."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from django.db import connection, transaction

MAX_PATH_CHARACTERS = 128
STATEMENT_TIMEOUT = "20s"  # a range of years for hundreds of devices must not hold a server for minutes
SEGMENT = re.compile(r"[^\x00-\x1f\x7f.]+")

# A sample is taken within its lease, so due_at bounds the partitions that a range of sampling times can
# touch. The path is a bound array, never part of the statement.
SERIES = """
SELECT wanted.device_id, sample.sampled_at, sample.value
FROM unnest(%(devices)s::bigint[]) AS wanted (device_id)
CROSS JOIN LATERAL (
    SELECT sampled_at, (data #> %(path)s::text[])::text AS value
    FROM metrics_sample
    WHERE device_id = wanted.device_id
      AND due_at >= %(start)s::timestamptz - interval '10 minutes' AND due_at <= %(end)s
      AND sampled_at >= %(start)s AND sampled_at <= %(end)s
      AND data #> %(path)s::text[] IS NOT NULL
    ORDER BY due_at DESC
    LIMIT %(limit)s
) AS sample
"""

NEWEST = """
SELECT device.id, newest.sampled_at,
       newest.sampled_at IS NULL
       OR newest.sampled_at < %(now)s - 2 * make_interval(secs => device.polling_interval_seconds)
FROM devices_device AS device
LEFT JOIN LATERAL (
    SELECT sampled_at FROM metrics_sample WHERE device_id = device.id ORDER BY due_at DESC LIMIT 1
) AS newest ON true
WHERE device.id = ANY(%(devices)s)
"""


@dataclass(slots=True)
class Series:
    """One device's values, newest first. `as_of` is its newest sample of all; stale when older than two
    intervals.
    """

    device_id: int
    as_of: datetime | None = None
    is_stale: bool = True
    points: list[tuple[datetime, Any]] = field(default_factory=list)


def path_parse(path: str) -> list[str]:
    """Segments of a dotted path; "" is the whole document. Raises ValueError with a message for the
    caller.
    """
    if path == "":
        return []
    if len(path) > MAX_PATH_CHARACTERS:
        raise ValueError(f"Has {len(path)} characters; at most {MAX_PATH_CHARACTERS} are accepted.")
    segments = path.split(".")
    if not all(SEGMENT.fullmatch(segment) for segment in segments):
        raise ValueError("Must be segments separated by single dots, like cpu.total or cpu.0.")
    return segments


def series_query(
    *,
    device_ids: Sequence[int],
    path: Sequence[str],
    start: datetime,
    end: datetime,
    limit: int,
    now: datetime,
) -> list[Series]:
    """One Series for each distinct id, in the order given; an unknown device has an empty one."""
    series = {device_id: Series(device_id) for device_id in device_ids}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [STATEMENT_TIMEOUT])
        cursor.execute(NEWEST, {"devices": list(series), "now": now})
        for device_id, as_of, is_stale in cursor.fetchall():
            series[device_id].as_of, series[device_id].is_stale = as_of, is_stale
        values: dict[str, Any] = {
            "devices": list(series),
            "path": list(path),
            "start": start,
            "end": end,
            "limit": limit,
        }
        cursor.execute(SERIES, values)
        for device_id, sampled_at, value in cursor:
            series[device_id].points.append((sampled_at, orjson.loads(value)))
    return list(series.values())
