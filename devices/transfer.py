"""Devices from tables and into tables: CSV or JSON, a row for each.

A row that cannot be taken says why and by which column; what is there already keeps its settings.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import models, transaction
from django.db.models import QuerySet

from devices.models import Device, DeviceStatus
from devices.services import address_key, database_now, devices_add
from nms_project.errors import InvalidInput
from nms_project.tables import FORMULA, csv_line, formula_quoted

MAX_ROWS = 20_000
COLUMNS = (
    "hostname",
    "ip_address",
    "port",
    "plugin_id",
    "credential_profile",
    "polling_interval_seconds",
    "should_ping",
    "status",
)
PAGE = 2_000


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
    device_id: int | None = None
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


def csv_rows(text: str) -> list[dict[str, Any]]:
    """Rows of a table with a header. Empty cells count as not given. Raises InvalidInput."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), strict=True)
    try:
        unknown = [name for name in reader.fieldnames or () if name not in COLUMNS]
        if unknown or not reader.fieldnames:
            what = f"Unknown columns: {', '.join(map(repr, unknown))}." if unknown else "The table is empty."
            raise InvalidInput({"header": [f"{what} The columns are {', '.join(COLUMNS)}."]})
        rows = []
        for row in reader:
            if None in row:
                raise InvalidInput({"row": [f"Line {reader.line_num} has more cells than the header."]})
            rows.append({name: _unquoted(cell) for name, cell in row.items() if cell not in {None, ""}})
            if len(rows) > MAX_ROWS:
                raise InvalidInput({"rows": [f"At most {MAX_ROWS:,} rows are taken at once."]})
    except csv.Error as error:
        raise InvalidInput({"row": [f"Line {reader.line_num} is no CSV: {error}."]}) from None
    return rows


def csv_lines(devices: QuerySet[Device]) -> Iterator[bytes]:
    """The table of these devices, page by page in the order of their ids; it can be imported again."""
    yield csv_line(COLUMNS)
    last = 0
    ordered = devices.select_related(None).select_related("credential_profile").order_by("pk")
    while page := list(ordered.filter(pk__gt=last)[:PAGE]):
        yield b"".join(csv_line(_cells(device)) for device in page)
        last = page[-1].pk


def _cells(device: Device) -> list[Any]:
    values = {name: getattr(device, name) for name in COLUMNS}
    values["credential_profile"] = device.credential_profile.name
    values["should_ping"] = str(device.should_ping).lower()
    if device.status == DeviceStatus.ERROR:  # for the system to say, not for a table
        values["status"] = DeviceStatus.INACTIVE.value
    return [formula_quoted(str(value), QUOTED) for value in values.values()]


# The apostrophe goes again when the table is imported: one that was there before is quoted too.
QUOTED = (*FORMULA, "'")


def _unquoted(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(QUOTED) else cell


def devices_import(
    checked: Sequence[tuple[dict[str, Any], Mapping[str, Sequence[str]]]],
    *,
    is_dry_run: bool,
    is_all_or_nothing: bool,
) -> list[RowReport]:
    """`checked` has a row's fields, or what is wrong with them. With all or nothing one wrong row leaves
    everything undone; a dry run does and undoes it, and so reports what would have been.
    """
    reports = [
        RowReport(line, Outcome.FAILED if errors else Outcome.NOT_DONE, errors=errors)
        for line, (_, errors) in enumerate(checked, 1)
    ]
    if is_all_or_nothing and any(report.errors for report in reports):
        return reports
    with transaction.atomic():
        good = [
            (report, fields) for report, (fields, errors) in zip(reports, checked, strict=True) if not errors
        ]
        now = database_now()
        added = devices_add(
            [Device(status_since=now, status_reason="imported", **fields) for _, fields in good], now
        )
        seen = set()
        for report, fields in good:
            key = address_key(fields["ip_address"], fields["port"])
            report.device_id, is_new = added[key]
            report.outcome = Outcome.CREATED if is_new and key not in seen else Outcome.EXISTS
            seen.add(key)
        if is_dry_run:
            transaction.set_rollback(True)
    if is_dry_run:
        for report in reports:
            if report.outcome is Outcome.CREATED:
                report.device_id = None
    return reports
