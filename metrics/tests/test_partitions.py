"""Daily partitions: made ahead, made late without losing a row, made once."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from metrics.partitions import TABLES, partitions_prepare

pytestmark = pytest.mark.django_db
NOW = datetime(2031, 5, 17, 12, tzinfo=UTC)


def partition_of(table: str, moment: datetime) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass::text FROM {table} WHERE due_at = %s", [moment])
        (name,) = cursor.fetchone()
    return str(name)


def insert(moment: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO metrics_sample VALUES (1, %s, %s, '{}')", [moment, moment])


def test_made_from_yesterday_to_three_days_ahead_and_once() -> None:
    made = partitions_prepare(NOW)
    assert len(made) == 5 * len(TABLES)
    assert "metrics_sample_20310516" in made
    assert "polling_verdict_20310520" in made
    assert partitions_prepare(NOW) == []


def test_a_row_goes_into_its_day() -> None:
    partitions_prepare(NOW)
    insert(NOW)
    assert partition_of("metrics_sample", NOW) == "metrics_sample_20310517"


def test_a_day_without_a_partition_loses_nothing_and_can_be_made_late() -> None:
    insert(NOW)
    assert partition_of("metrics_sample", NOW) == "metrics_sample_default"
    partitions_prepare(NOW)
    assert partition_of("metrics_sample", NOW) == "metrics_sample_20310517"


def test_midnight_belongs_to_the_new_day() -> None:
    partitions_prepare(NOW)
    midnight = datetime(2031, 5, 18, tzinfo=UTC)
    insert(midnight)
    insert(midnight - timedelta(microseconds=1))
    assert partition_of("metrics_sample", midnight) == "metrics_sample_20310518"
    assert partition_of("metrics_sample", midnight - timedelta(microseconds=1)) == "metrics_sample_20310517"
