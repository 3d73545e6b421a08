"""What is old is dropped, and nothing else; what a deleted device has left is erased, and nothing else."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from devices.models import Deletion, Device
from metrics.models import LateMark, Layout, Rollup5m, RollupProgress, Sample
from metrics.partitions import partitioned, partitions_ensure, partitions_list
from metrics.retention import deletions_advance, history_trim
from polling.models import Gap

pytestmark = pytest.mark.django_db
NOW = datetime(2033, 7, 19, 13, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def limits(settings: Any) -> None:
    settings.NMS_RETENTION_SAMPLES_DAYS = 5


def rolled_up(until: datetime) -> None:
    for level in ("samples.5m", "samples.1h", "samples.1d"):
        RollupProgress.objects.update_or_create(
            level=level, defaults={"done_until": until, "sealed_until": until}
        )


def insert(device_id: int, moment: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO metrics_sample VALUES (%s, %s, %s, '{}')", [device_id, moment, moment])


@examples(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ages=st.lists(st.integers(0, 9 * 24 * 3_600), min_size=1, max_size=20, unique=True),
    with_partition=st.sets(st.integers(0, 9)),
    done_hours_ago=st.integers(0, 9 * 24),
    late=st.sets(st.integers(0, 9 * 24 * 12), max_size=3),
)
def test_nothing_younger_than_its_limit_or_not_rolled_up_is_removed(
    ages: list[int], with_partition: set[int], done_hours_ago: int, late: set[int]
) -> None:
    Sample.objects.all().delete()
    LateMark.objects.all().delete()
    marks = [NOW - n * timedelta(minutes=5) for n in late]
    LateMark.objects.bulk_create(LateMark(level="samples.5m", device_id=1, start_at=mark) for mark in marks)
    for days in with_partition:
        day = NOW - timedelta(days=days)
        partitions_ensure("metrics_sample", day, day)
    done = NOW - timedelta(hours=done_hours_ago)
    rolled_up(done)
    moments = {NOW - timedelta(seconds=age) for age in ages}
    for moment in moments:
        insert(1, moment)
    history_trim(NOW)
    left = set(Sample.objects.values_list("due_at", flat=True))
    limit = min([NOW - timedelta(days=5), done, *marks])
    assert {moment for moment in moments if moment >= limit} <= left
    # Of what is older, at most what shares a partition with something younger.
    assert all(moment >= limit - timedelta(days=1) for moment in left)


def test_old_partitions_are_dropped() -> None:
    partitions_ensure("metrics_sample", NOW - timedelta(days=8), NOW)
    rolled_up(NOW)
    dropped = history_trim(NOW)
    assert [name for name in dropped if "2033" in name] == [
        "metrics_sample_20330711",
        "metrics_sample_20330712",
        "metrics_sample_20330713",
    ]
    assert history_trim(NOW) == []


def test_without_rollups_nothing_is_dropped() -> None:
    partitions_ensure("metrics_sample", NOW - timedelta(days=8), NOW)
    history_trim(NOW)
    assert [each.lower.day for each in partitions_list("metrics_sample") if each.lower.year == 2033] == [
        *range(11, 20)
    ]


def test_a_layout_goes_with_the_last_level_that_uses_it(settings: Any) -> None:
    settings.NMS_RETENTION_5M_DAYS, settings.NMS_RETENTION_1H_DAYS = 60, 400
    rolled_up(NOW)
    old = (NOW - timedelta(days=100)).date()
    Layout.objects.create(id=uuid.UUID(int=1), paths=["fine"], used_5m=old)
    Layout.objects.create(id=uuid.UUID(int=2), paths=["hours"], used_5m=old, used_1h=old)
    Layout.objects.create(id=uuid.UUID(int=3), paths=["days"], used_5m=old, used_1d=old)
    history_trim(NOW)
    assert sorted(layout.paths[0] for layout in Layout.objects.all()) == ["days", "hours"]
    rolled_up(NOW - timedelta(days=120))  # the hours are not made yet of these 5 minutes
    Layout.objects.create(id=uuid.UUID(int=1), paths=["fine"], used_5m=old)
    history_trim(NOW)
    assert Layout.objects.count() == 3


def test_a_gap_is_kept_as_long_as_its_slots(settings: Any) -> None:
    settings.NMS_RETENTION_VERDICTS_DAYS = 5
    RollupProgress.objects.create(level="verdicts.1h", done_until=NOW, sealed_until=NOW)
    month = NOW.replace(day=1, hour=0, minute=0)
    partitions_ensure("polling_gap", month - timedelta(days=50), month)
    for first_at in (month - timedelta(days=40), month):
        Gap.objects.create(device_id=1, first_at=first_at, slots=5, interval_seconds=60)
    history_trim(NOW)
    assert [gap.first_at for gap in Gap.objects.all()] == [month]


# --- Deleted devices ---


def erase_all(now: datetime) -> int:
    steps = 0
    while deletions_advance(now):
        steps += 1
    return steps


def after(deletion: Deletion) -> datetime:
    return deletion.deleted_at + timedelta(minutes=3)


def test_a_deleted_device_leaves_nothing_and_the_others_keep_theirs(
    device: Device, ping_device: Device
) -> None:
    partitions_ensure("metrics_sample", NOW, NOW)
    for moment in (NOW, NOW - timedelta(days=1)):  # one in its partition, one in the DEFAULT one
        insert(device.pk, moment)
        insert(ping_device.pk, moment)
    Rollup5m.objects.create(device_id=device.pk, start_at=NOW, layout="0" * 32, samples=1, last=[])
    LateMark.objects.create(level="samples.5m", device_id=device.pk, start_at=NOW)
    device_id = device.pk
    device.delete()
    deletion = Deletion.objects.get()
    assert (deletion.device_id, deletion.hostname, deletion.finished_at) == (device_id, "win-1", None)
    erase_all(after(deletion))
    deletion.refresh_from_db()
    assert deletion.finished_at == after(deletion)
    assert deletion.rows_erased == 3
    assert deletion.partitions_done == deletion.partitions_total
    assert set(Sample.objects.values_list("device_id", flat=True)) == {ping_device.pk}
    assert Rollup5m.objects.count() == LateMark.objects.count() == 0


def test_progress_can_be_seen_and_a_restart_goes_on(device: Device) -> None:
    insert(device.pk, NOW)
    device.delete()
    deletion = Deletion.objects.get()
    assert deletions_advance(after(deletion))
    deletion.refresh_from_db()
    assert (deletion.partitions_done, deletion.finished_at) == (1, None)
    assert deletion.partitions_total is not None
    assert deletion.partitions_total >= len(partitioned())
    # One step a partition, the first of which is done, and one that finds nothing left.
    assert erase_all(after(deletion)) == deletion.partitions_total


def test_erasing_waits_for_transactions_that_knew_the_device(device: Device) -> None:
    device.delete()
    assert not deletions_advance(Deletion.objects.get().deleted_at)


def test_devices_deleted_together_are_erased_together(device: Device, ping_device: Device) -> None:
    for each in (device, ping_device):
        insert(each.pk, NOW)
    Device.objects.all().delete()
    steps = erase_all(after(Deletion.objects.all()[0]))
    deletions = Deletion.objects.all()
    assert [deletion.rows_erased for deletion in deletions] == [1, 1]
    total = deletions[0].partitions_total
    assert total is not None
    assert steps == total + 1


def test_the_api_shows_how_far_erasing_is(api: Any, device: Device) -> None:
    insert(device.pk, NOW)
    device_id = device.pk
    assert api.delete(f"/api/v1/devices/{device_id}").status_code == 204
    (waiting,) = api.get("/api/v1/deletions", {"finished_at__isnull": "true"}).json()["results"]
    assert (waiting["device_id"], waiting["partitions_total"], waiting["finished_at"]) == (
        device_id,
        None,
        None,
    )
    erase_all(after(Deletion.objects.get()))
    finished = api.get(f"/api/v1/deletions/{device_id}").json()
    assert finished["rows_erased"] == 1
    assert finished["finished_at"] is not None
    assert api.get("/api/v1/deletions", {"finished_at__isnull": "true"}).json()["count"] == 0
