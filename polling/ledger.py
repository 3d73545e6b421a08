"""Verdicts into the ledger: the fast way and the careful way. polling/store.py decides which."""

from collections.abc import Sequence

from django.db.backends.utils import CursorWrapper

from devices.schedule import from_microseconds
from polling.models import PROVISIONAL
from polling.slots import Report

COLUMNS = (
    "device_id, due_at, started_at, duration_ms, rtt_ms, loss_percent, attempted, kind, error_code, error"
)
TYPES = ["int8", "timestamptz", "timestamptz", "float8", "float8", "float8", "bool", "text", "text", "text"]
KEYS = ", ".join(f"'{kind.value}'" for kind in PROVISIONAL)

COPY = f"COPY polling_verdict ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
CREATE_INCOMING = f"""
CREATE TEMPORARY TABLE incoming_verdict ON COMMIT DROP AS
SELECT {COLUMNS} FROM polling_verdict WITH NO DATA
"""  # noqa: S608 (constants of this module)
COPY_INCOMING = f"COPY incoming_verdict ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
# The first answer stands; only what the scheduler noted by itself gives way to a real one.
UPSERT = f"""
INSERT INTO polling_verdict AS stored ({COLUMNS})
SELECT {COLUMNS} FROM incoming_verdict ORDER BY device_id, due_at
ON CONFLICT (device_id, due_at) DO UPDATE SET
    started_at = excluded.started_at, duration_ms = excluded.duration_ms, rtt_ms = excluded.rtt_ms,
    loss_percent = excluded.loss_percent, attempted = excluded.attempted, kind = excluded.kind,
    error_code = excluded.error_code, error = excluded.error
WHERE stored.kind IN ({KEYS}) AND excluded.kind NOT IN ({KEYS})
RETURNING device_id, due_at
"""  # noqa: S608 (constants of this module)


def verdicts_copy(cursor: CursorWrapper, reports: Sequence[Report]) -> None:
    """Binary COPY straight into the ledger. Raises UniqueViolation when a slot has a verdict already."""
    _copy(cursor, COPY, reports)


def verdicts_upsert(cursor: CursorWrapper, reports: Sequence[Report]) -> set[tuple[int, int]]:
    """Over a temporary table; returns the keys (device_id, due_us) of the reports that are in the ledger now.

    `reports` holds each slot once.
    """
    cursor.execute(CREATE_INCOMING)
    _copy(cursor, COPY_INCOMING, reports)
    cursor.execute(UPSERT)
    by_moment = {(report.device_id, report.due_at): report.key for report in reports}
    return {by_moment[row] for row in cursor.fetchall()}


def _copy(cursor: CursorWrapper, statement: str, reports: Sequence[Report]) -> None:
    with cursor.copy(statement) as copy:
        copy.set_types(TYPES)
        for report in reports:
            copy.write_row(
                (
                    report.device_id,
                    from_microseconds(report.due_us),
                    None if report.started_us is None else from_microseconds(report.started_us),
                    report.duration_ms,
                    report.rtt_ms,
                    report.loss_percent,
                    report.attempted,
                    report.kind.value,
                    report.error_code,
                    report.error,
                )
            )
