"""An older database is taken along: what it knew stays as it was."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from metrics.partitions import partition_drop, partitions_ensure, partitions_list

pytestmark = [pytest.mark.usefixtures("committed"), pytest.mark.slow]
BEFORE = [("polling", "0002_verdict_rollups"), ("metrics", "0002_rollups")]
DAY = datetime(2031, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def old_database() -> Iterator[None]:
    MigrationExecutor(connection).migrate(BEFORE)
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())


def run(statement: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def test_rollups_and_gaps_of_an_older_database(old_database: None) -> None:
    for partition in partitions_list("polling_verdict"):  # of other tests
        partition_drop(partition)
    partitions_ensure("polling_verdict", DAY, DAY)
    with connection.cursor() as cursor:
        for start in (DAY - 40 * 24 * HOUR, DAY + HOUR):
            cursor.execute(
                "INSERT INTO polling_verdict_1h (device_id, start_at, rtt_total, loss_total, rtt_count, "
                "loss_count, ok, ping_failed, poll_failed, auth_failed, timeout, plugin_error, overrun, "
                "lost, skipped) "
                "VALUES (1, %s, 0, 0, 0, 0, 50, 1, 1, 0, 2, 0, 0, 0, 0)",
                [start],
            )
        for first_at in (datetime(2031, 1, 31, 23, tzinfo=UTC), datetime(2031, 2, 28, 23, tzinfo=UTC)):
            cursor.execute("INSERT INTO polling_gap VALUES (1, %s, 120, 60)", [first_at])
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    assert run("SELECT down FROM polling_verdict_1h") == [(4,), (4,)]
    # Only what can be counted anew: of the other hour the verdicts have been dropped.
    assert run("SELECT start_at FROM metrics_latemark") == [(DAY + HOUR,)]
    assert run("SELECT until FROM metrics_trimmed WHERE \"table\" = 'polling_verdict'")[0][0] == DAY
    assert run("SELECT first_at, slots FROM polling_gap ORDER BY first_at") == [
        (datetime(2031, 1, 31, 23, tzinfo=UTC), 60),
        (datetime(2031, 2, 1, tzinfo=UTC), 60),
        (datetime(2031, 2, 28, 23, tzinfo=UTC), 60),
        (datetime(2031, 3, 1, tzinfo=UTC), 60),
    ]
