"""What a table of objects is: its columns, how a row is checked and added, how an object becomes a row.

A row that cannot be taken says why and by which column; what is there already keeps its settings.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from django.db import IntegrityError, models, transaction
from django.db.models import QuerySet
from rest_framework import serializers

from nms_project.api import detail_flatten
from nms_project.errors import Conflict, InvalidInput
from nms_project.tables import csv_line, csv_rows, formula_quoted

MAX_ROWS = 20_000
PAGE = 2_000

Row = TypeVar("Row", bound=models.Model)
Checked = tuple[dict[str, Any], Mapping[str, Sequence[str]]]  # fields, or what is wrong by column


class Outcome(models.TextChoices):
    CREATED = "created", "created"
    EXISTS = "exists", "exists already, and keeps its settings"
    FAILED = "failed", "failed"
    NOT_DONE = "not_done", "not done, because another row failed"


@dataclass(slots=True)
class RowReport:
    """`line` counts the rows from 1 on, without the header."""

    line: int
    outcome: Outcome
    id: int | None = None
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


class CSVText(str):
    """The body of a request that is a table as CSV."""


class Table(ABC, Generic[Row]):
    """`columns` are those that an import takes; an export leaves out those in `secret`."""

    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    secret: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def form(self) -> serializers.Serializer[Any]:
        """Checks rows, one after the other: making one costs more than using it."""

    @abstractmethod
    def add(self, rows: Sequence[dict[str, Any]]) -> Iterable[tuple[int, bool]]:
        """(id, whether it is new) of each row, in a transaction of the caller."""

    @abstractmethod
    def cells(self, row: Row) -> Mapping[str, Any]:
        """Texts by column."""

    def related(self, rows: QuerySet[Row]) -> QuerySet[Row]:
        """With what `cells` reads."""
        return rows

    @property
    def exported(self) -> list[str]:
        return [name for name in self.columns if name not in self.secret]


def table_check(table: Table[Any], data: Any) -> list[Checked]:
    """Each row of a body. Raises InvalidInput for what is no list of rows."""
    rows = csv_rows(data, table.columns, MAX_ROWS) if isinstance(data, CSVText) else data
    if not isinstance(rows, list):
        raise InvalidInput({"body": ["Must be a list of rows, or CSV sent as text/csv."]})
    if len(rows) > MAX_ROWS:
        raise InvalidInput(
            {"rows": [f"At most {MAX_ROWS:,} rows are taken at once; there are {len(rows):,}."]}
        )
    form = table.form()
    return [_check(form, row) for row in rows]


def _check(form: serializers.Serializer[Any], row: Any) -> Checked:
    if not isinstance(row, dict):
        return {}, {"row": ["Must be an object with the columns as its names."]}
    unknown = [str(name)[:64] for name in row if name not in form.fields]
    if unknown:
        return {}, {name: ["There is no such column."] for name in unknown}
    try:
        return dict(form.run_validation(row)), {}
    except serializers.ValidationError as error:
        return {}, detail_flatten(error.detail)
    except InvalidInput as error:
        return {}, error.fields


def table_import(
    table: Table[Any], checked: Sequence[Checked], *, is_dry_run: bool, is_all_or_nothing: bool
) -> list[RowReport]:
    """With all or nothing one wrong row leaves everything undone; a dry run does and undoes it, and so
    reports what would have been.
    """
    reports = [
        RowReport(line, Outcome.FAILED if errors else Outcome.NOT_DONE, errors=errors)
        for line, (_, errors) in enumerate(checked, 1)
    ]
    if is_all_or_nothing and any(report.errors for report in reports):
        return reports
    good = [(report, fields) for report, (fields, errors) in zip(reports, checked, strict=True) if not errors]
    with transaction.atomic():
        added = list(table.add([fields for _, fields in good]))
        for (report, _), (pk, is_new) in zip(good, added, strict=True):
            report.outcome = Outcome.CREATED if is_new else Outcome.EXISTS
            report.id = pk
        if is_dry_run:
            transaction.set_rollback(True)
    if is_dry_run:
        made = {pk for pk, is_new in added if is_new}
        for report in reports:
            report.id = None if report.id in made else report.id
    return reports


def add_by_name(
    model: type[models.Model],
    create: Callable[[dict[str, Any]], models.Model],
    rows: Sequence[dict[str, Any]],
) -> Iterator[tuple[int, bool]]:
    """For objects that are unique by name, some hundred of them: each is made on its own, in the order of the
    names, so that two imports never wait for each other. Raises Conflict.
    """
    manager: models.Manager[Any] = model._default_manager
    taken = dict(manager.filter(name__in=[row["name"] for row in rows]).values_list("name", "pk"))
    firsts: dict[str, int] = {}
    for position, row in enumerate(rows):
        firsts.setdefault(row["name"], position)
    made = set()
    for name in sorted(firsts.keys() - taken.keys()):
        row = rows[firsts[name]]
        if set(row) == {"name"}:
            raise Conflict(f"{name!r} was deleted meanwhile. Nothing was done; send the table again.")
        try:
            with transaction.atomic():
                taken[name] = create(row).pk
            made.add(name)
        except IntegrityError as error:  # somebody else was faster, or what it refers to is gone
            found = manager.filter(name=name).values_list("pk", flat=True).first()
            if found is None:
                raise Conflict(f"What {name!r} refers to was changed meanwhile. Nothing was done.") from error
            taken[name] = found
    for position, row in enumerate(rows):
        name = row["name"]
        yield taken[name], name in made and firsts[name] == position


def table_lines(table: Table[Row], rows: QuerySet[Row]) -> Iterator[bytes]:
    """CSV of these objects, page by page in the order of their ids; it can be imported again."""
    yield csv_line(table.exported)
    last = 0
    ordered = table.related(rows).order_by("pk")
    while page := list(ordered.filter(pk__gt=last)[:PAGE]):
        yield b"".join(_line(table, row) for row in page)
        last = page[-1].pk


def _line(table: Table[Row], row: Row) -> bytes:
    cells = table.cells(row)
    return csv_line(formula_quoted(str(cells[name])) for name in table.exported)
