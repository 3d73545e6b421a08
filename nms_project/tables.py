"""CSV that is taken and given away: rows, lines, and the answer that carries them."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

from django.http import StreamingHttpResponse

from nms_project.errors import InvalidInput

CSV_TYPE = "text/csv; charset=utf-8"

csv.field_size_limit(2**31 - 1)  # a body has its limit; a key or a list of hosts may be larger than csv's
# A spreadsheet takes a cell that begins so for a formula, and names are anybody's. It is quoted by an
# apostrophe, which goes again when the table is read: one that was there before is quoted too.
# The wide forms are those that East Asian keyboards type.
UNNAMED = "\0"  # begins the names that unnamed columns get here; a table cannot contain it
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "'")


def csv_rows(text: str, columns: Sequence[str], max_rows: int) -> list[dict[str, Any]]:
    """Rows of a table with a header. Empty cells count as not given. Raises InvalidInput."""
    text = text.removeprefix("\ufeff").lstrip("\r\n")
    if "\0" in text:
        raise InvalidInput({"row": ["The table has NUL characters: save it as CSV in UTF-8."]})
    if "\r" in text and "\n" not in text:
        raise InvalidInput({"row": ["The lines of the table end in CR alone: they must end in LF or CRLF."]})
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        # Spreadsheets add blanks, capitals, and columns without a name.
        names = [name.strip().casefold() for name in reader.fieldnames or ()]
        reader.fieldnames = [name or f"{UNNAMED}{number}" for number, name in enumerate(names)]
        problem = _header_problem([name for name in names if name], columns)
        if problem:
            raise InvalidInput({"header": [f"{problem} The columns are {', '.join(columns)}."]})
        rows = []
        for row in reader:
            filled = {name: cell for name, cell in row.items() if name is None or cell not in {None, ""}}
            if any(name is None or name.startswith(UNNAMED) for name in filled):
                raise InvalidInput({"row": [f"Line {reader.line_num} has more cells than the header names."]})
            rows.append({name: _unquoted(cell) for name, cell in filled.items()})
            if len(rows) > max_rows:
                raise InvalidInput({"rows": [f"At most {max_rows:,} rows are taken at once."]})
    except csv.Error as error:
        raise InvalidInput({"row": [f"Line {reader.line_num} is no CSV: {error}."]}) from None
    return rows


def _header_problem(names: Sequence[str], columns: Sequence[str]) -> str:
    if not names:
        return "The table is empty."
    unknown = [name[:64] for name in names if name not in columns]
    if unknown:
        return f"Unknown columns: {', '.join(map(repr, unknown[:20]))}."
    repeated = [name for name in columns if names.count(name) > 1]
    return f"Columns that stand there twice: {', '.join(repeated)}." if repeated else ""


def csv_line(cells: Iterable[Any]) -> bytes:
    """A line by RFC 4180, which ends in CRLF: a cell with either of both is quoted, and ends no line."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().encode()


def formula_quoted(cell: str) -> str:
    """With an apostrophe before what would be taken for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _unquoted(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def download(pieces: Iterator[bytes], filename: str, content_type: str = CSV_TYPE) -> StreamingHttpResponse:
    """The header and the first rows are made before it begins: what is wrong from the start is an answer, not
    a download that breaks off.
    """
    begun = list(islice(pieces, 2))
    answer = StreamingHttpResponse(chain(begun, pieces), content_type=content_type)
    answer["Content-Disposition"] = f'attachment; filename="{filename}"'
    return answer
