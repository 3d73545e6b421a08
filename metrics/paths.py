"""Metric paths: the keys that lead to a value in a document, joined by dots."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from django.db import connection

from metrics.queries import NEWEST_SAMPLE
from metrics.sample_rollups import SAMPLES

MAX_PATH_CHARACTERS = 128
MAX_PATHS_LISTED = 10_000
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# A segment's characters; a dot or backslash that belongs to a key is escaped by a backslash.
SEGMENT = re.compile(r"(?:\\[\\.]|[^.])+")
ESCAPED = re.compile(r"\\([\\.])")


def path_parse(path: str) -> list[str]:
    """Segments of a dotted path; "" is the whole document. Raises ValueError with a message for the caller.

    `network.interfaces.eth0\\.100.rx` has four segments: a dot within a key is written with a backslash.
    """
    if path == "":
        return []
    if len(path) > MAX_PATH_CHARACTERS:
        raise ValueError(f"Has {len(path)} characters; at most {MAX_PATH_CHARACTERS} are accepted.")
    segments = SEGMENT.findall(path)
    if CONTROL.search(path):
        raise ValueError("Has control characters, such as a line break: keys with one cannot be asked for.")
    if ".".join(segments) != path:
        raise ValueError("Must be segments separated by single dots, like cpu.total or cpu.0.")
    return [ESCAPED.sub(r"\1", segment) for segment in segments]


def path_text(segments: Sequence[str]) -> str:
    """The one way to write these segments, which is how rollups name them."""
    return ".".join(segment.replace("\\", "\\\\").replace(".", "\\.") for segment in segments)


@dataclass(frozen=True, slots=True)
class KnownPath:
    """`value` is the newest one; None where only older documents had the path."""

    path: str
    value: float | None


DOCUMENT = f"""
SELECT sample.data FROM devices_pollstate AS state {NEWEST_SAMPLE}
WHERE state.device_id = %s AND sample.data IS NOT NULL
"""  # noqa: S608 (constants of this project)
OF_DEVICE = """
SELECT DISTINCT unnest(paths) FROM metrics_layout WHERE id IN (
    SELECT layout FROM {table} WHERE device_id = %s AND start_at >= %s
) LIMIT %s
"""
OF_FLEET = (
    "SELECT DISTINCT unnest(paths) AS path FROM metrics_layout WHERE used_5m >= %s ORDER BY path LIMIT %s"
)


def device_paths(device_id: int, now: datetime) -> list[KnownPath]:
    """The numeric paths of the newest document, and of the documents of the last day."""
    with connection.cursor() as cursor:
        cursor.execute(DOCUMENT, [device_id])
        row = cursor.fetchone()
        newest = dict(document_leaves(orjson.loads(row[0]))) if row else {}
        table = SAMPLES.levels[1].table
        cursor.execute(OF_DEVICE.format(table=table), [device_id, now - timedelta(days=1), MAX_PATHS_LISTED])
        known = {path for (path,) in cursor.fetchall()} | set(newest)
    return [KnownPath(path, newest.get(path)) for path in sorted(known) if _can_be_asked(path)]


def fleet_paths(now: datetime) -> list[KnownPath]:
    """Every numeric path that some device had today or yesterday."""
    with connection.cursor() as cursor:
        cursor.execute(OF_FLEET, [(now - timedelta(days=1)).date(), MAX_PATHS_LISTED])
        return [KnownPath(path, None) for (path,) in cursor.fetchall() if _can_be_asked(path)]


def _can_be_asked(path: str) -> bool:
    return len(path) <= MAX_PATH_CHARACTERS and not CONTROL.search(path)


def document_leaves(value: Any, segments: tuple[str, ...] = ()) -> list[tuple[str, float]]:
    """The numeric leaves of a document by path, as the rollups take them."""
    match value:
        case bool() | None | str():
            return []
        case int() | float():
            return [(path_text(segments), value)] if segments else []
        case dict():
            items = [(key, inner) for key, inner in value.items() if key]
        case _:
            items = [(str(position), inner) for position, inner in enumerate(value)]
    return [leaf for key, inner in items for leaf in document_leaves(inner, (*segments, key))]
