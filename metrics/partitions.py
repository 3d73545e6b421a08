"""Partitions of the tables that grow: made ahead, safe to make late, dropped when they are old enough.

A model says by its attribute `partitioning` how its table is cut; this module finds them all. Each table has
a DEFAULT partition, so a missing range never loses a row: what landed there is moved when the range is made.

A table that is no partitioned one any more, such as a hypertable, is left to whatever cuts it.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import OperationalError, connection, transaction
from psycopg import sql

logger = logging.getLogger(__name__)

AHEAD = timedelta(days=3)
# Everybody who reads or writes the table waits behind us while we wait; what cannot be had soon is tried
# later.
LOCK_TIMEOUT = "3s"


class Width(StrEnum):
    DAY = "day"
    MONTH = "month"
    YEAR = "year"

    def floor(self, moment: datetime) -> datetime:
        """The start of the range, in UTC, that holds `moment`."""
        start = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        if self is Width.DAY:
            return start
        return start.replace(day=1) if self is Width.MONTH else start.replace(month=1, day=1)

    def next(self, start: datetime) -> datetime:
        """The start of the range after the one that begins at `start`."""
        longer = {Width.DAY: 1, Width.MONTH: 31, Width.YEAR: 366}[self]
        return self.floor(start + timedelta(days=longer))


@dataclass(frozen=True, slots=True)
class Partitioning:
    """By `column` into ranges of `width`; the setting `retention` holds how many days rows are kept.

    `feeds` is the key of the rollup level that is made of these rows, which are kept until it has been.
    """

    column: str
    width: Width
    retention: str
    feeds: str = ""

    @property
    def keep(self) -> timedelta:
        return timedelta(days=getattr(settings, self.retention))


@dataclass(frozen=True, slots=True)
class Partition:
    """One range of a table: [lower, upper)."""

    table: str
    name: str
    lower: datetime
    upper: datetime


def partitioned() -> dict[str, Partitioning]:
    """{table: how it is cut} of every partitioned model of the project."""
    models = (model for model in apps.get_models() if hasattr(model, "partitioning"))
    return {model._meta.db_table: model.partitioning for model in models}


def partitions_prepare(now: datetime) -> list[str]:
    """Makes the partitions from yesterday (late rows) to AHEAD; returns the names of new ones.

    One that cannot be made now, because somebody reads for long, is left to the next time.
    """
    made = []
    for table in partitioned():
        try:
            made += partitions_ensure(table, now - timedelta(days=1), now + AHEAD)
        except OperationalError as error:
            logger.warning("partitions of %s are made later: %s", table, type(error.__cause__).__name__)
    return made


def partitions_ensure(table: str, start: datetime, end: datetime) -> list[str]:
    """Makes what is missing of the range from `start` to `end`; returns the names of new ones."""
    if not is_cut(table):
        return []
    cut = partitioned()[table]
    present = {partition.lower for partition in partitions_list(table)}
    missing = (each for each in _ranges(table, cut.width, start, end) if each.lower not in present)
    return [partition.name for partition in missing if _create(partition, cut.column)]


def _ranges(table: str, width: Width, start: datetime, end: datetime) -> Iterator[Partition]:
    lower = width.floor(start)
    while lower <= end:
        upper = width.next(lower)
        yield Partition(table, f"{table}_{lower:%Y%m%d}", lower, upper)
        lower = upper


LIST = """
SELECT child.relname FROM pg_inherits
JOIN pg_partitioned_table ON partrelid = inhparent
JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = %s::regclass ORDER BY child.relname
"""


def is_cut(table: str) -> bool:
    """Whether it is a partitioned table of PostgreSQL's own."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass", [table])
        return bool(cursor.fetchone()[0])


def partitions_list(table: str) -> list[Partition]:
    """All but the DEFAULT one, oldest first."""
    width = partitioned()[table].width
    with connection.cursor() as cursor:
        cursor.execute(LIST, [table])
        names = [name for (name,) in cursor.fetchall() if name != f"{table}_default"]
    found = []
    for name in names:
        lower = datetime.strptime(name.removeprefix(f"{table}_"), "%Y%m%d").replace(tzinfo=UTC)
        found.append(Partition(table, name, lower, width.next(lower)))
    return found


def oldest_row(table: str) -> datetime | None:
    """No row is older; None without any. It looks at the partitions, not at their rows."""
    found = []
    with connection.cursor() as cursor:

        def one(statement: str, name: str) -> Any:
            names = {"name": sql.Identifier(name), "column": sql.Identifier(partitioned()[table].column)}
            cursor.execute(sql.SQL(statement).format(**names).as_string(cursor.connection))
            return cursor.fetchone()[0]

        if is_cut(table):
            filled = (each for each in partitions_list(table) if one(HAS_ROWS, each.name))
            found += [partition.lower for partition in islice(filled, 1)]
            found.append(one(OLDEST, f"{table}_default"))
        else:
            found.append(one(OLDEST, table))
    return min((moment.astimezone(UTC) for moment in found if moment is not None), default=None)


HAS_ROWS = "SELECT EXISTS (SELECT FROM {name})"
OLDEST = "SELECT min({column}) FROM {name}"


@transaction.atomic
def _create(partition: Partition, column: str) -> bool:
    with connection.cursor() as cursor:
        # Two beats: the second waits here and then finds the table.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [partition.name])
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [partition.name])
        if cursor.fetchone()[0]:
            return False
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        names = {
            "table": sql.Identifier(partition.table),
            "name": sql.Identifier(partition.name),
            "default": sql.Identifier(f"{partition.table}_default"),
            "column": sql.Identifier(column),
            "lower": sql.Literal(partition.lower),
            "upper": sql.Literal(partition.upper),
        }
        for statement in CREATE:
            cursor.execute(sql.SQL(statement).format(**names).as_string(cursor.connection))
    return True


# Writers wait for the lock on the default partition, so no row of the range can slip into it in between.
CREATE = (
    "LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE",
    "CREATE TABLE {name} (LIKE {table} INCLUDING ALL)",
    "WITH moved AS (DELETE FROM {default} WHERE {column} >= {lower} AND {column} < {upper} RETURNING *) "
    "INSERT INTO {name} SELECT * FROM moved",
    "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})",
)


@transaction.atomic
def partition_drop(partition: Partition) -> None:
    """Raises OperationalError when somebody reads the table for longer than we would hold up the others."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])
        statement = sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(partition.name))
        cursor.execute(statement.as_string(cursor.connection))
