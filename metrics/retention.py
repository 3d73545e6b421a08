"""What is old goes, by dropping whole partitions; what a deleted device has left goes row by row."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db import OperationalError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Min, Q
from psycopg import sql

from devices.models import Deletion
from metrics.models import LateMark, Layout, RollupProgress, Trimmed
from metrics.partitions import Partition, Partitioning, is_cut, partition_drop, partitioned, partitions_list
from metrics.sample_rollups import SAMPLES

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
        for partition in partitions_list(table):
            try:
                is_dropped = _drop(partition, cut, now)
            except OperationalError as error:
                logger.warning("%s is dropped later: %s", partition.name, type(error.__cause__).__name__)
                break
            if not is_dropped:
                break
            dropped.append(partition.name)
        _trim_strays(table, cut, now)
    _trim_layouts(now)
    return dropped


def _limit(cut: Partitioning, now: datetime) -> datetime:
    """Older rows may go: they are old enough, and the level they feed has them, late ones too."""
    limit = now - cut.keep
    if not cut.feeds:
        return limit
    done = RollupProgress.objects.filter(level=cut.feeds).values_list("done_until", flat=True).first()
    late = LateMark.objects.filter(level=cut.feeds).aggregate(oldest=Min("start_at"))["oldest"]
    return min(limit, done or NEVER, late or limit)


def _drop(partition: Partition, cut: Partitioning, now: datetime) -> bool:
    if partition.upper > _limit(cut, now):
        return False
    with transaction.atomic():
        partition_drop(partition)
        _note(partition.table, partition.upper)
        # Nobody writes into it any more; who did before has left the mark that we may not have seen.
        is_due = partition.upper <= _limit(cut, now)
        transaction.set_rollback(not is_due)
    return is_due


def _note(table: str, until: datetime) -> None:
    known, is_new = Trimmed.objects.select_for_update().get_or_create(table=table, defaults={"until": until})
    if not is_new and known.until < until:
        known.until = until
        known.save()


@transaction.atomic
def _trim_strays(table: str, cut: Partitioning, now: datetime) -> None:
    """Old rows that no partition was ever made for, as if there were one: all of its range or nothing."""
    limit = cut.width.floor(_limit(cut, now))
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
        if cursor.rowcount:
            _note(table, limit)


def _trim_layouts(now: datetime) -> None:
    """Layouts that no level's rows refer to any more."""
    tables = partitioned()
    unused = Q()
    for level in SAMPLES.levels:
        cut = tables[level.table]
        # A partition is kept until its newest row may go, and longer when it could not be dropped.
        oldest = cut.width.floor(_limit(cut, now))
        if is_cut(level.table):
            oldest = min([oldest, *(partition.lower for partition in partitions_list(level.table)[:1])])
        unused &= Q(**{f"used_{level.name}": None}) | Q(**{f"used_{level.name}__lt": oldest.date()})
    Layout.objects.filter(unused).delete()


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
