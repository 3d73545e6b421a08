"""The periodic tasks: they do their work, say how far they are, and wait out an outage."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection

from accounts import tasks as accounts_tasks
from devices.models import Deletion, Device
from devices.services import database_now
from discovery import tasks as discovery_tasks
from metrics import tasks
from metrics.models import Rollup5m, RollupProgress, Sample
from metrics.partitions import partitions_ensure
from metrics.rollups import ladder_state
from metrics.sample_rollups import SAMPLES
from metrics.tests.helpers import store
from polling import tasks as polling_tasks
from polling.models import VerdictRollup1h

pytestmark = pytest.mark.usefixtures("committed")
HOUR = timedelta(hours=1)


@pytest.fixture
def old_sample(device: Device) -> Device:
    store({(device.pk, database_now() - 3 * HOUR): {"cpu": 1}})
    return device


def test_samples_and_verdicts_are_rolled_up(old_sample: Device) -> None:
    tasks.rollups_task()
    polling_tasks.rollups_task()
    assert [row.device_id for row in Rollup5m.objects.all()] == [old_sample.pk]
    assert [row.ok for row in VerdictRollup1h.objects.all()] == [1]


def test_being_far_behind_is_said(
    old_sample: Device, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    RollupProgress.objects.create(
        level="samples.5m", done_until=database_now() - 9 * HOUR, sealed_until=database_now() - 9 * HOUR
    )
    monkeypatch.setattr(tasks, "ladder_advance", lambda *_, **__: False)  # its time is up
    with caplog.at_level(logging.WARNING, "metrics.tasks"):
        tasks.rollups_task()
    (behind,) = [level.behind for level in ladder_state(SAMPLES, database_now()) if level.behind]
    assert f"{behind} intervals behind" in caplog.text


def test_old_partitions_are_dropped_once_they_are_rolled_up(device: Device, settings: Any) -> None:
    settings.NMS_RETENTION_SAMPLES_DAYS = 2
    long_ago = database_now() - timedelta(days=4)
    store({(device.pk, long_ago): {"cpu": 1}})
    partitions_ensure("metrics_sample", long_ago, long_ago)
    tasks.trim_task()
    assert Sample.objects.count() == 1
    while ladder_state(SAMPLES, database_now())[0].behind or not RollupProgress.objects.exists():
        tasks.rollups_task()
    tasks.trim_task()
    assert Sample.objects.count() == 0
    assert Rollup5m.objects.count() == 1


def test_deleted_devices_are_erased(old_sample: Device) -> None:
    old_sample.delete()
    Deletion.objects.update(deleted_at=database_now() - HOUR)
    tasks.erase_task()
    assert Sample.objects.count() == 0
    assert Deletion.objects.get().finished_at is not None


@pytest.mark.parametrize(
    "task",
    [
        tasks.partitions_task,
        tasks.rollups_task,
        tasks.trim_task,
        tasks.erase_task,
        polling_tasks.rollups_task,
        polling_tasks.reset_slots_task,
        discovery_tasks.resume_task,
        discovery_tasks.prune_task,
        accounts_tasks.prune_task,
    ],
)
def test_an_outage_puts_them_off(task: Callable[[], None], caplog: pytest.LogCaptureFixture) -> None:
    def away(*_: Any) -> Any:
        raise OperationalError("the connection is gone")

    with connection.execute_wrapper(away), caplog.at_level(logging.WARNING, "nms_project.periodic"):
        task()
    assert "are put off" in caplog.text
