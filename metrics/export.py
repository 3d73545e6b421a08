"""Exports of any range, row by row, in constant memory: a statement for each day, streamed by COPY.

Each day is read by itself and nothing is held in between, so that an export of a year keeps no old row
versions alive and a slow reader blocks nobody. Rows come by day, then by device and time.
"""

import csv
import io
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from django.db import connection

from metrics.paths import path_text
from metrics.rollups import floor_to
from metrics.sample_rollups import LEAVES, SAMPLES

DAY = timedelta(days=1)
LEVELS = {level.name: level for level in SAMPLES.levels}


class Form(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"


@dataclass(frozen=True, slots=True)
class Export:
    """`level` is raw, 5m, 1h or 1d. Without devices all are exported, without paths whole documents or all
    paths.
    """

    form: Form
    level: str
    start: datetime
    end: datetime
    device_ids: Sequence[int] | None
    paths: Sequence[Sequence[str]]


# One row for each sample; each path wanted is a column, or all of it the document.
SAMPLE_ROWS = """
SELECT device_id, {due_at} AS due_at, {sampled_at} AS sampled_at, {columns} FROM metrics_sample
WHERE due_at >= %(start)s AND due_at < %(end)s
  AND (%(devices)s::bigint[] IS NULL OR device_id = ANY(%(devices)s::bigint[]))
ORDER BY device_id, metrics_sample.due_at
"""
# One row for each path of an interval.
LEVEL_ROWS = (
    """
SELECT device_id, {start_at} AS start_at, path, low AS min, high AS max, total / count AS avg, total AS sum,
       count, last
FROM ("""
    + LEAVES.format(rollups="{table}")
    + """
    WHERE rollup.start_at >= %(start)s AND rollup.start_at < %(end)s
      AND (%(devices)s::bigint[] IS NULL OR rollup.device_id = ANY(%(devices)s::bigint[]))
) AS leaves
WHERE %(paths)s::text[] = '{{}}' OR path = ANY(%(paths)s::text[])
ORDER BY device_id, leaves.start_at, path
"""
)
LEVEL_COLUMNS = ("device_id", "start_at", "path", "min", "max", "avg", "sum", "count", "last")
ISO = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
# JSON text has no control characters, so that with these two as quote and separator a line is written as it
# is.
COPY = {
    Form.CSV: "COPY ({rows}) TO STDOUT (FORMAT csv)",
    Form.NDJSON: "COPY (SELECT to_json(line) FROM ({rows}) AS line) "
    "TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')",
}


def export_lines(export: Export) -> Generator[bytes, None, None]:
    """The export in pieces. CSV begins with the names of its columns; NDJSON ends with {"end": true, "rows":
    n}: one without it was cut off.
    """
    if export.form is Form.CSV:
        yield _header(export)
    rows = 0
    for start, end in _days(export.start, export.end):
        for piece in _day(export, start, end):
            rows += piece.count(b"\n")
            yield piece
    if export.form is Form.NDJSON:
        yield orjson.dumps({"end": True, "rows": rows}) + b"\n"


def _header(export: Export) -> bytes:
    if export.level in LEVELS:
        names: Sequence[str] = LEVEL_COLUMNS
    else:
        names = [
            "device_id",
            "due_at",
            "sampled_at",
            *(map(path_text, export.paths) if export.paths else ["data"]),
        ]
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue().encode()


def _days(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    while start < end:
        following = min(floor_to(start, DAY) + DAY, end)
        yield start, following
        start = following


def _day(export: Export, start: datetime, end: datetime) -> Iterator[bytes]:
    values: dict[str, Any] = {
        "start": start,
        "end": end,
        "devices": None if export.device_ids is None else list(export.device_ids),
        "paths": [path_text(path) for path in export.paths],
    }
    moments = {name: ISO.format(name) for name in ("due_at", "sampled_at", "start_at")}
    if export.level in LEVELS:
        rows = LEVEL_ROWS.format(table=LEVELS[export.level].table, **moments)
    else:
        rows = SAMPLE_ROWS.format(columns=_columns(export, values), **moments)
    statement = COPY[export.form].format(rows=rows)
    with connection.cursor() as cursor, cursor.copy(statement, values) as copy:
        for piece in copy:
            yield bytes(piece)


def _columns(export: Export, values: dict[str, Any]) -> str:
    """The values of the paths; what a caller sent is bound, never spliced."""
    if not export.paths:
        return "data"
    for n, path in enumerate(export.paths):
        values[f"name{n}"], values[f"segments{n}"] = path_text(path), list(path)
    numbers = range(len(export.paths))
    if export.form is Form.CSV:
        return ", ".join(f"data #>> %(segments{n})s::text[]" for n in numbers)
    pairs = ", ".join(f"%(name{n})s::text, data #> %(segments{n})s::text[]" for n in numbers)
    return f"json_build_object({pairs}) AS values"
