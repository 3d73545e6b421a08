"""The one way of samples into the database: binary COPY with explicit columns and types.

It runs inside the caller's transaction (polling/store.py), so that a slot's verdict and its sample are stored
together or not at all.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db.backends.utils import CursorWrapper
from psycopg.types.json import Jsonb

from metrics.rollups import late_note
from metrics.sample_rollups import SAMPLES

COPY = "COPY metrics_sample (device_id, due_at, sampled_at, data) FROM STDIN (FORMAT BINARY)"
TYPES = ["int8", "timestamptz", "timestamptz", "jsonb"]


class SampleRow(NamedTuple):
    device_id: int
    due_at: datetime
    sampled_at: datetime
    document: str  # JSON text, checked at the plugin boundary


def samples_copy(cursor: CursorWrapper, rows: Sequence[SampleRow]) -> None:
    """After `rollups.writers_share` in the same transaction: what has been rolled up already is marked.

    Raises psycopg's UniqueViolation for a slot stored already, DataError for a document PostgreSQL cannot
    hold.
    """
    with cursor.copy(COPY) as copy:
        copy.set_types(TYPES)
        for row in rows:
            copy.write_row((row.device_id, row.due_at, row.sampled_at, Jsonb(row.document, dumps=_as_it_is)))
    late_note(cursor, SAMPLES.levels[0], ((row.device_id, row.due_at) for row in rows))


def _as_it_is(document: str) -> str:
    return document
