"""What the tasks do when something is away, when a message kills its worker, and when the worker ends."""

import logging
from base64 import b64decode
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson
import pytest
from celery.exceptions import Reject
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from devices.models import Device
from devices.schedule import to_microseconds
from devices.services import database_now
from nms_project.redis_client import redis_client
from polling import shutdown, tasks
from polling.models import ParkedMessage, Verdict, VerdictKind
from polling.outage import message_kept_on, pause_seconds
from polling.parking import kills_counted
from polling.scheduler import tick
from polling.slots import Report

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture(autouse=True)
def _no_pause() -> Iterator[None]:
    """As in a worker that is ending: pauses are over at once."""
    shutdown.stopping.set()
    yield
    shutdown.stopping.clear()


@pytest.fixture
def message(device: Device) -> list[Any]:
    due_us = to_microseconds(database_now())
    report = Report(device.pk, due_us, VerdictKind.TIMEOUT, error="slow", is_counting=True)
    return report.to_message()


def test_a_report_survives_the_message(message: list[Any]) -> None:
    assert Report.from_message(message).to_message() == message


def test_store_stores(message: list[Any]) -> None:
    tasks.store_task.apply(args=([message],), throw=True)
    assert Verdict.objects.get().kind == "timeout"


@pytest.mark.parametrize("error", [OperationalError("away"), KeyError("a bug")])
def test_store_puts_the_message_back_whatever_happens(
    message: list[Any], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: Any) -> None:
        raise error

    monkeypatch.setattr(tasks, "reports_store", fail)
    with pytest.raises(Reject) as caught:
        tasks.store_task.run([message])
    rejected: Any = caught.value
    assert rejected.requeue


def test_a_message_that_killed_three_workers_is_parked(message: list[Any]) -> None:
    task_id = "deadly"
    redis_client().set(f"nms:store:working:{task_id}", 3)
    tasks.store_task.apply(args=([message],), task_id=task_id, throw=True)
    assert ParkedMessage.objects.get(task_id=task_id).body == [message]
    assert Verdict.objects.count() == 0


@pytest.mark.parametrize("bad", [[], [1], [1, 2, "no kind"], 5, None, {"a": 1}, [1, 2, "ok", *range(20)]])
def test_a_message_that_cannot_be_read_is_parked_at_once(bad: Any) -> None:
    tasks.store_task.apply(args=([bad],), task_id="unreadable", throw=True)
    assert ParkedMessage.objects.get(task_id="unreadable").body == [bad]


def test_a_parked_message_is_stored_again(message: list[Any], admin_client: Client) -> None:
    parked = ParkedMessage.objects.create(task_id="innocent", body=[message])
    sent = {"action": "store_again", "_selected_action": [parked.pk]}
    page = admin_client.post(reverse("admin:polling_parkedmessage_changelist"), sent, follow=True)
    assert "1 message(s) are on their way again" in page.content.decode()
    assert not ParkedMessage.objects.exists()
    (waiting,) = redis_client().lrange("store", 0, -1)
    assert orjson.loads(b64decode(orjson.loads(waiting)["body"]))[0] == [[message]]


def test_an_exception_is_no_kill() -> None:
    for _ in range(5):
        assert _fail_while_counted() == 0
    assert list(redis_client().scan_iter("nms:store:working:*")) == []


def _fail_while_counted() -> int:
    seen = []
    with suppress(KeyError), kills_counted("careless") as kills:
        seen.append(kills)
        raise KeyError
    return seen[0]


def test_a_kill_is_counted() -> None:
    entered = kills_counted("killed")
    entered.__enter__()
    with kills_counted("killed") as kills:
        assert kills == 1


def test_the_pause_grows_and_is_capped() -> None:
    assert [pause_seconds(failures) for failures in (0, 1, 2, 20)] == [0.5, 1, 2, 30]


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), message_kept_on(OperationalError):
        raise KeyError


def test_a_tick_without_redis_is_skipped_with_a_word(
    device: Device, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    with caplog.at_level(logging.WARNING):
        tasks.tick_task.apply(throw=True)
    assert "this tick is skipped" in caplog.text


def test_counting_failures_reach_health(device: Device) -> None:
    since = to_microseconds(device.status_since)
    for minute in (1, 2, 3):
        report = Report(device.pk, since + minute * 60_000_000, VerdictKind.PING_FAILED, is_counting=True)
        tasks.store_task.apply(args=([report.to_message()],), throw=True)
    device.refresh_from_db()
    assert device.status == "inactive"
    assert "does not answer ping" in device.status_reason


def test_plugin_errors_never_deactivate(device: Device) -> None:
    since = to_microseconds(device.status_since)
    for minute in range(1, 10):
        report = Report(device.pk, since + minute * 60_000_000, VerdictKind.PLUGIN_ERROR)
        tasks.store_task.apply(args=([report.to_message()],), throw=True)
    device.refresh_from_db()
    assert device.status == "active"


def test_a_tick_after_a_long_stall_claims_each_device_once(device: Device) -> None:
    assert tick() == 1
    assert tick() == 0
