"""Tables that are given away: lines of CSV, and the answer that carries them."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from django.http import StreamingHttpResponse

# A spreadsheet takes a cell that begins so for a formula, and names are anybody's.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_line(cells: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def formula_quoted(cell: str, beginnings: Sequence[str] = FORMULA) -> str:
    """With an apostrophe before what would be taken for a formula."""
    return f"'{cell}" if cell.startswith(tuple(beginnings)) else cell


def csv_download(lines: Iterable[bytes], filename: str) -> StreamingHttpResponse:
    answer = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="{filename}"'
    return answer
