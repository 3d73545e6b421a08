"""What is old goes, by dropping whole partitions; what a deleted device has left goes row by row."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from devices.models import Deletion
from metrics.models import LateMark, Layout, RollupProgress
from metrics.partitions import Partitioning, is_cut, partition_drop, partitioned, partitions_list

logger = logging.getLogger(__name__)

NEVER = datetime.min.replace(tzinfo=UTC)
STRAY_ROWS = 50_000  # of a DEFAULT partition in one transaction
# A transaction that began before the device was deleted may still write about it.
SETTLED = timedelta(minutes=2)
DELETIONS = 500


def history_trim(now: datetime) -> list[str]:
    """Drops the partitions that hold nothing younger than their limit; returns their names.

    What has not been rolled up yet stays, however old it is. A partition that is being read for long is left
    to the next time.
    """
    dropped = []
    for table, cut in partitioned().items():
        if not is_cut(table):
            continue
        limit = _limit(cut, now)
        for partition in partitions_list(table):
            if partition.upper > limit:
                break
            try:
                partition_drop(partition)
            except OperationalError as error:
                logger.warning("%s is dropped later: %s", partition.name, type(error.__cause__).__name__)
                break
            dropped.append(partition.name)
        _trim_strays(table, cut, limit)
    _trim_layouts(now)
    return dropped


def _limit(cut: Partitioning, now: datetime) -> datetime:
    limit = now - cut.keep
    if not cut.feeds:
        return limit
    done = RollupProgress.objects.filter(level=cut.feeds).values_list("done_until", flat=True).first()
    return min(limit, done or NEVER)


def _trim_strays(table: str, cut: Partitioning, limit: datetime) -> None:
    """Old rows that no partition was ever made for."""
    names = {
        "default": sql.Identifier(f"{table}_default"),
        "column": sql.Identifier(cut.column),
        "limit": sql.Literal(limit),
        "rows": sql.Literal(STRAY_ROWS),
    }
    statement = sql.SQL(
        "DELETE FROM {default} WHERE ctid = ANY(ARRAY("
        "SELECT ctid FROM {default} WHERE {column} < {limit} LIMIT {rows}))"
    ).format(**names)
    with connection.cursor() as cursor:
        cursor.execute(statement.as_string(cursor.connection))


def _trim_layouts(now: datetime) -> None:
    """Layouts that even the rollups kept longest do not refer to any more."""
    longest = max(cut.keep for cut in partitioned().values())
    Layout.objects.filter(used_on__lt=(now - longest - timedelta(days=1)).date()).delete()


# --- Deleted devices ---


def deletions_advance(now: datetime) -> bool:
    """Erases from one more partition what deleted devices left there; False when nothing is left to erase."""
    with transaction.atomic(), connection.cursor() as cursor:
        waiting = Deletion.objects.filter(finished_at=None, deleted_at__lte=now - SETTLED)
        # All of a batch stand at the same partition: those that come later begin anew, with the next batch.
        first = waiting.order_by("erased_up_to", "pk").select_for_update(skip_locked=True).first()
        if first is None:
            return False
        batch = waiting.filter(erased_up_to=first.erased_up_to).order_by("pk")
        deletions = list(batch.select_for_update(skip_locked=True)[:DELETIONS])
        _erase_next(cursor, deletions, first.erased_up_to, now)
    return True


def _erase_next(cursor: CursorWrapper, deletions: list[Deletion], reached: str, now: datetime) -> None:
    names = sorted(_all_partitions())
    devices = [deletion.device_id for deletion in deletions]
    following = next((name for name in names if name > reached), None)
    counts: dict[int, int] = {}
    if following is not None:
        LateMark.objects.filter(device_id__in=devices).delete()
        statement = sql.SQL(
            "WITH gone AS (DELETE FROM {} WHERE device_id = ANY(%s) RETURNING device_id) "
            "SELECT device_id, count(*) FROM gone GROUP BY device_id"
        ).format(sql.Identifier(following))
        cursor.execute(statement.as_string(cursor.connection), [devices])
        counts = dict(cursor.fetchall())
    for deletion in deletions:
        deletion.rows_erased += counts.get(deletion.device_id, 0)
        deletion.partitions_total = len(names)
        if following is None:
            deletion.finished_at, deletion.partitions_done = now, len(names)
        else:
            deletion.erased_up_to = following
            deletion.partitions_done = names.index(following) + 1
    fields = ["rows_erased", "partitions_total", "partitions_done", "finished_at", "erased_up_to"]
    Deletion.objects.bulk_update(deletions, fields)


def _all_partitions() -> Iterator[str]:
    for table in partitioned():
        if is_cut(table):
            yield f"{table}_default"
            yield from (partition.name for partition in partitions_list(table))
        else:
            yield table
