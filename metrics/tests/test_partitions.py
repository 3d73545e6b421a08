"""Partitions: made ahead, made late without losing a row, made once."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from metrics.partitions import Width, partitioned, partitions_ensure, partitions_list, partitions_prepare
from metrics.tests.helpers import long_reader

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


def test_every_table_that_grows_is_known() -> None:
    assert {"metrics_sample", "polling_verdict", "metrics_rollup_5m", "metrics_rollup_1d"} <= set(
        partitioned()
    )


def test_made_from_yesterday_to_three_days_ahead_and_once() -> None:
    made = partitions_prepare(NOW)
    assert [name for name in made if name.startswith("metrics_sample_")] == [
        f"metrics_sample_203105{day}" for day in range(16, 21)
    ]
    assert [name for name in made if name.startswith("metrics_rollup_1h_")] == ["metrics_rollup_1h_20310501"]
    assert [name for name in made if name.startswith("metrics_rollup_1d_")] == ["metrics_rollup_1d_20310101"]
    assert "polling_verdict_20310520" in made
    assert partitions_prepare(NOW) == []


@pytest.mark.parametrize(
    ("width", "moment", "start", "following"),
    [
        (Width.DAY, "2032-02-28T23:59", "2032-02-28", "2032-02-29"),
        (Width.MONTH, "2031-12-31T12:00", "2031-12-01", "2032-01-01"),
        (Width.MONTH, "2032-01-31T12:00", "2032-01-01", "2032-02-01"),
        (Width.YEAR, "2032-12-31T23:59", "2032-01-01", "2033-01-01"),
    ],
)
def test_ranges_meet(width: Width, moment: str, start: str, following: str) -> None:
    floor = width.floor(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    assert (f"{floor:%Y-%m-%d}", f"{width.next(floor):%Y-%m-%d}") == (start, following)


def test_partitions_are_listed_with_their_ranges() -> None:
    partitions_ensure("metrics_rollup_1h", NOW, NOW + timedelta(days=31))
    listed = [partition for partition in partitions_list("metrics_rollup_1h") if partition.lower.year == 2031]
    assert [(f"{each.lower:%m-%d}", f"{each.upper:%m-%d}") for each in listed] == [
        ("05-01", "06-01"),
        ("06-01", "07-01"),
    ]


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


@pytest.mark.slow
@pytest.mark.usefixtures("committed")
def test_a_long_reader_puts_off_one_table_and_holds_up_nobody() -> None:
    far = NOW + timedelta(days=365)
    with long_reader("metrics_sample"):
        made = partitions_prepare(far)
        insert(far)
    assert any(name.startswith("polling_verdict") for name in made)
    assert not any(name.startswith("metrics_sample") for name in made)
    assert f"metrics_sample_{far:%Y%m%d}" in partitions_prepare(far)
