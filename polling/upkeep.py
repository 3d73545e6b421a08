"""What history there is: each table with its age, limit and size, and how far the rollups have come."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from metrics.partitions import partitioned, partitions_list
from metrics.rollups import LevelState, ladder_state
from metrics.sample_rollups import SAMPLES
from polling.verdict_rollups import VERDICTS


@dataclass(frozen=True, slots=True)
class TableState:
    """`oldest` is the start of the oldest partition; `size_bytes` has indexes and compressed values in it."""

    table: str
    retention_days: int
    oldest: datetime | None
    partitions: int
    size_bytes: int


SIZE = (
    "SELECT coalesce(sum(pg_total_relation_size(relid)), 0)::bigint FROM pg_partition_tree(%s) WHERE isleaf"
)


def tables_state() -> list[TableState]:
    found = []
    for table, cut in sorted(partitioned().items()):
        partitions = partitions_list(table)
        with connection.cursor() as cursor:
            cursor.execute(SIZE, [table])
            (size,) = cursor.fetchone()
        oldest = partitions[0].lower if partitions else None
        found.append(TableState(table, cut.keep.days, oldest, len(partitions), size))
    return found


def levels_state(now: datetime) -> list[tuple[str, LevelState]]:
    """(ladder, level) of every level."""
    return [(ladder.name, level) for ladder in (SAMPLES, VERDICTS) for level in ladder_state(ladder, now)]
