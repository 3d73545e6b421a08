"""The one door into the ledger and the samples: verdict and sample of a slot in one transaction.

1. Lock the devices' run state, in one order for everybody; what has no row any more was deleted and is
   dropped.
2. The fast way: COPY verdicts, then samples.
3. A slot that has its verdict already (a message delivered twice, a `lost` noted meanwhile) fails the COPY as
   a whole: do it
   again over a temporary table, and store samples only for the verdicts that were taken.
4. End the leases that are still on these slots.
5. A row PostgreSQL cannot hold: halve the batch down to it, and store it as `plugin_error` without its
   document.

Failures are counted by the caller after the commit, from the same reports, also when they were delivered
before.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from django.db import DataError, IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg.errors import UniqueViolation

from devices.schedule import from_microseconds
from metrics.rollups import late_note, writers_share
from metrics.writer import SampleRow, samples_copy
from polling.ledger import verdicts_copy, verdicts_upsert
from polling.models import PROVISIONAL, VerdictKind
from polling.slots import Report
from polling.verdict_rollups import VERDICTS

logger = logging.getLogger(__name__)

LOCK = """
SELECT device_id FROM devices_pollstate WHERE device_id = ANY(%s::bigint[]) ORDER BY device_id FOR UPDATE
"""
# A report that was not taken (its slot has its verdict) still ends the lease; its kind is passed as NULL. The
# ids stand there once more as an array, which keeps the planner at the primary key.
END_LEASES = """
UPDATE devices_pollstate AS state
SET lease_due_at = CASE WHEN state.lease_due_at = ANY(done.slots) THEN NULL ELSE state.lease_due_at END,
    leased_until = CASE WHEN state.lease_due_at = ANY(done.slots) THEN NULL ELSE state.leased_until END,
    last_polled_at = greatest(state.last_polled_at, done.due_at),
    last_verdict = CASE WHEN done.due_at IS NULL OR state.last_polled_at > done.due_at
                        THEN state.last_verdict ELSE done.kind END,
    newest_sample_at = greatest(state.newest_sample_at, done.sample_at)
FROM (
    SELECT device_id, array_agg(due_at) AS slots,
           max(due_at) FILTER (WHERE kind IS NOT NULL) AS due_at,
           max(due_at) FILTER (WHERE has_sample) AS sample_at,
           (array_agg(kind ORDER BY due_at DESC) FILTER (WHERE kind IS NOT NULL))[1] AS kind
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::text[], %s::bool[])
         AS report (device_id, due_at, kind, has_sample)
    GROUP BY device_id
) AS done
WHERE state.device_id = done.device_id AND state.device_id = ANY(%s::bigint[])
"""


def reports_store(reports: Sequence[Report]) -> None:
    """Stores every report exactly once, whatever it is called with and how often.

    Raises what PostgreSQL raises when it is away or out of resources: nothing of the batch is stored then.
    """
    if not reports:
        return
    try:
        _store(reports)
    except DataError as error:
        _store_around_bad_row(reports, error)
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            _store_around_bad_row(reports, error)
            return
        try:
            _store(_first_of_each_slot(reports), is_careful=True)
        except DataError as data_error:
            _store_around_bad_row(reports, data_error)


def _store(reports: Sequence[Report], *, is_careful: bool = False) -> None:
    # COPY goes past Django's cursor, so its errors are translated here.
    with transaction.atomic(), connection.cursor() as cursor, connection.wrap_database_errors:
        writers_share(cursor)
        cursor.execute(LOCK, [sorted({report.device_id for report in reports})])
        present = {row[0] for row in cursor.fetchall()}
        kept = [report for report in reports if report.device_id in present]
        if not kept:
            return
        if is_careful:
            keys = verdicts_upsert(cursor, kept)
        else:
            verdicts_copy(cursor, kept)
            keys = {report.key for report in kept}
        samples_copy(cursor, [_sample(row) for row in kept if row.document is not None and row.key in keys])
        late_note(
            cursor, VERDICTS.levels[0], ((row.device_id, row.due_at) for row in kept if row.key in keys)
        )
        _end_leases(cursor, kept, keys)


def _sample(report: Report) -> SampleRow:
    sampled_us = report.due_us if report.sampled_us is None else report.sampled_us
    return SampleRow(report.device_id, report.due_at, from_microseconds(sampled_us), report.document or "{}")


def _end_leases(cursor: CursorWrapper, reports: Sequence[Report], taken: set[tuple[int, int]]) -> None:
    devices = [report.device_id for report in reports]
    moments = [report.due_at for report in reports]
    kinds = [report.kind.value if report.key in taken else None for report in reports]
    has_sample = [report.document is not None and report.key in taken for report in reports]
    cursor.execute(END_LEASES, (devices, moments, kinds, has_sample, devices))


def _first_of_each_slot(reports: Sequence[Report]) -> list[Report]:
    """One report a slot: the first real answer, else the first."""
    chosen: dict[tuple[int, int], Report] = {}
    for report in reports:
        known = chosen.get(report.key)
        if known is None or (known.kind in PROVISIONAL and report.kind not in PROVISIONAL):
            chosen[report.key] = report
    return list(chosen.values())


def _store_around_bad_row(reports: Sequence[Report], error: Exception) -> None:
    if len(reports) > 1:
        middle = len(reports) // 2
        reports_store(reports[:middle])
        reports_store(reports[middle:])
        return
    (bad,) = reports
    logger.error("device %s: its answer cannot be stored (%s)", bad.device_id, type(error.__cause__).__name__)
    stripped = without_document(bad)
    if stripped != bad:
        reports_store([stripped])


def without_document(report: Report) -> Report:
    """The same slot as the plugin's fault."""
    return replace(
        report,
        kind=VerdictKind.PLUGIN_ERROR,
        error_code="internal",
        error="the answer held data that PostgreSQL cannot store",
        document=None,
        is_counting=False,
    )
