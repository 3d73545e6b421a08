"""Daily partitions of the tables that grow: made ahead, and safe to make late.

Each table has a DEFAULT partition, so a missing day never loses a row: what landed there is moved when the
day is made.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from django.db import connection, transaction
from psycopg import sql

TABLES = ("metrics_sample", "polling_verdict")
DAYS_AHEAD = 3


def partitions_prepare(now: datetime) -> list[str]:
    """Makes the partitions of yesterday (late samples) to DAYS_AHEAD; returns the names of new ones."""
    today = now.astimezone(UTC).date()
    days = [today + timedelta(days=offset) for offset in range(-1, DAYS_AHEAD + 1)]
    return [name for table in TABLES for name in _missing(table, days)]


def _missing(table: str, days: list[date]) -> Iterator[str]:
    for day in days:
        name = f"{table}_{day:%Y%m%d}"
        if _create(table, name, day):
            yield name


@transaction.atomic
def _create(table: str, name: str, day: date) -> bool:
    lower = datetime(day.year, day.month, day.day, tzinfo=UTC)
    upper = lower + timedelta(days=1)
    with connection.cursor() as cursor:
        # Two beats: the second waits here and then finds the table.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [name])
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        if cursor.fetchone()[0]:
            return False
        names = {
            "table": sql.Identifier(table),
            "name": sql.Identifier(name),
            "default": sql.Identifier(f"{table}_default"),
            "lower": sql.Literal(lower),
            "upper": sql.Literal(upper),
        }
        for statement in STATEMENTS:
            cursor.execute(sql.SQL(statement).format(**names).as_string(cursor.connection))
    return True


# Writers wait for the lock on the default partition, so no row of the day can slip into it in between.
STATEMENTS = (
    "LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE",
    "CREATE TABLE {name} (LIKE {table} INCLUDING ALL)",
    "WITH moved AS (DELETE FROM {default} WHERE due_at >= {lower} AND due_at < {upper} RETURNING *) "
    "INSERT INTO {name} SELECT * FROM moved",
    "ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({lower}) TO ({upper})",
)
