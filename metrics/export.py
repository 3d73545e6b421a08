"""Exports of any range, row by row, in constant memory: page by page, each of them one short COPY.

Nothing is held between the pages, no lock, no snapshot and no transaction: an export of a year keeps no old
row versions alive, and a reader who stands still blocks nobody.

Rows come partition by partition (days of samples and 5 minutes, months of hours, years of days), within one
by device and time, which is the order of the primary key.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

from devices.schedule import EPOCH
from metrics.partitions import Width, oldest_row, partitioned
from metrics.paths import path_text
from metrics.queries import reading
from metrics.sample_rollups import LEAVES, SAMPLES, keys_only, value_at
from nms_project.tables import FORMULA, csv_line, formula_quoted

Key = tuple[int, datetime]
BEFORE_ALL: Key = (0, EPOCH)
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

    @property
    def table(self) -> str:
        return LEVELS[self.level].table if self.level in LEVELS else "metrics_sample"

    @property
    def column(self) -> str:
        return partitioned()[self.table].column

    @property
    def size(self) -> str:
        """About how many bytes a row becomes: a line of some 100 for each leaf; documents are stored
        compressed.
        """
        return "100 * cardinality(last)" if self.level in LEVELS else "4 * pg_column_size(data)"


PAGE_ROWS = 2_000
PAGE_BYTES = 4_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """The rows of [start, end) that come after `after`, up to and with `last`."""

    start: datetime
    end: datetime
    after: Key
    last: Key


WITHIN = """
{column} >= %(start)s AND {column} < %(end)s AND (device_id, {column}) > (%(after_id)s, %(after_at)s)
AND (%(devices)s::bigint[] IS NULL OR device_id = ANY(%(devices)s::bigint[]))"""
# The last key of a page: so many rows, or so many bytes as one may guess without reading them.
PAGE_END = (
    """
SELECT device_id, at FROM (
    SELECT device_id, at, sum(size) OVER (ORDER BY device_id, at) - size AS before FROM (
        SELECT device_id, {column} AS at, {size} AS size FROM {table} WHERE """
    + WITHIN
    + """
        ORDER BY device_id, {column} LIMIT %(rows)s
    ) AS row
) AS page WHERE before < %(bytes)s ORDER BY device_id DESC, at DESC LIMIT 1
"""
)
# The devices once more by themselves: the planner does not see that the two row comparisons make a range.
# Those that were deleted have rows until they are erased.
OF_PAGE = (
    WITHIN
    + """
AND (device_id, {column}) <= (%(last_id)s, %(last_at)s)
AND device_id BETWEEN %(after_id)s AND %(last_id)s
AND device_id IN (SELECT id FROM devices_device WHERE id BETWEEN %(after_id)s AND %(last_id)s)"""
)

# One row for each sample; each path wanted is a column, or all of it the document.
SAMPLE_ROWS = (
    """
SELECT device_id, {due_at} AS due_at, {sampled_at} AS sampled_at, {columns} FROM metrics_sample
WHERE """
    + OF_PAGE
    + """
ORDER BY device_id, metrics_sample.due_at
"""
)
# One row for each path of an interval.
LEVEL_ROWS = (
    """
SELECT device_id, {start_at} AS start_at, {path} AS path, low AS min, high AS max, total / count AS avg,
       total AS sum, count, last
FROM ("""
    + LEAVES.format(rollups="(SELECT * FROM {table} WHERE " + OF_PAGE + ")")
    + """
) AS leaves
WHERE %(paths)s::text[] = '{{}}' OR path = ANY(%(paths)s::text[])
ORDER BY device_id, leaves.start_at, leaves.path
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
    for page in _pages(export):
        piece = _page(export, page)
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
    return csv_line(map(formula_quoted, names))


def _pages(export: Export) -> Iterator[Page]:
    cut = partitioned()[export.table]
    for start, end in _slices(export, cut.width):
        after = BEFORE_ALL
        while (last := _page_end(export, start, end, after)) is not None:
            yield Page(start, end, after, last)
            after = last


def _slices(export: Export, width: Width) -> Iterator[tuple[datetime, datetime]]:
    """The range by partitions, as far back as there are rows."""
    oldest = oldest_row(export.table)
    if oldest is None:
        return
    start = max(export.start, oldest)
    while start < export.end:
        following = min(width.next(width.floor(start)), export.end)
        yield start, following
        start = following


def _values(export: Export, start: datetime, end: datetime, after: Key) -> dict[str, Any]:
    return {
        "start": start,
        "end": end,
        "after_id": after[0],
        "after_at": after[1],
        "devices": None if export.device_ids is None else list(export.device_ids),
    }


def _page_end(export: Export, start: datetime, end: datetime, after: Key) -> Key | None:
    values = _values(export, start, end, after) | {"rows": PAGE_ROWS, "bytes": PAGE_BYTES}
    names = {"table": export.table, "column": export.column, "size": export.size}
    with reading() as cursor:
        cursor.execute(PAGE_END.format(**names), values)
        row: Key | None = cursor.fetchone()
    return row


def _page(export: Export, page: Page) -> bytes:
    values = _values(export, page.start, page.end, page.after)
    values |= {"last_id": page.last[0], "last_at": page.last[1], "paths": list(map(path_text, export.paths))}
    moments = {name: ISO.format(name) for name in ("due_at", "sampled_at", "start_at")}
    names = {"table": export.table, "column": export.column, **moments}
    if export.level in LEVELS:
        path = _quoted("path") if export.form is Form.CSV else "path"
        rows = LEVEL_ROWS.format(path=path, **names)
    else:
        rows = SAMPLE_ROWS.format(columns=_columns(export, values), **names)
    with reading() as cursor, cursor.copy(COPY[export.form].format(rows=rows), values) as copy:
        return b"".join(map(bytes, copy))


def _cell(value: str) -> str:
    """A text comes from a host, and may be meant for the spreadsheet of whoever opens the file."""
    text = f"({value}) #>> '{{}}'"
    return f"CASE jsonb_typeof({value}) WHEN 'string' THEN {_quoted(text)} ELSE {text} END"


def _quoted(text: str) -> str:
    """As `formula_quoted`, in SQL."""
    starts = ", ".join(f"chr({ord(character)})" for character in FORMULA)
    return f"CASE WHEN left({text}, 1) IN ({starts}) THEN chr(39) || ({text}) ELSE {text} END"


def _columns(export: Export, values: dict[str, Any]) -> str:
    """The values of the paths; what a caller sent is bound, never spliced."""
    if not export.paths:
        return "data"
    for n, path in enumerate(export.paths):
        values[f"name{n}"], values[f"segments{n}"] = path_text(path), list(path)
        values[f"keys{n}"] = keys_only(path)
    found = [value_at(f"%(segments{n})s::text[]", f"%(keys{n})s::int[]") for n in range(len(export.paths))]
    if export.form is Form.CSV:
        return ", ".join(map(_cell, found))
    pairs = ", ".join(f"%(name{n})s::text, {value}" for n, value in enumerate(found))
    return f"json_build_object({pairs}) AS values"
