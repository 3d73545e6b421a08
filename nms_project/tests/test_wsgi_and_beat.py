"""The edges of the processes: a charset nobody has, a clock set back under beat, a queue without a worker."""

import time
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest

from nms_project import beat, celery_app
from nms_project.redis_client import redis_client
from nms_project.schedule import beat_schedule
from nms_project.wsgi import application


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["zlib", "nonsense", "base64", "idna", "utf-8", "latin-1"])
def test_any_charset_is_answered(charset: str) -> None:
    answers: list[str] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/api/v1/devices",
        "QUERY_STRING": "a=%e4",
        "CONTENT_TYPE": f"application/json; charset={charset}",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(b""),
        "wsgi.errors": BytesIO(),
    }
    body = application(environ, lambda status, *_: answers.append(status))
    assert b"error" in b"".join(body)
    assert answers == ["401 Unauthorized"]


def test_messages_of_the_beat_outlast_clocks_that_differ_by_minutes() -> None:
    assert all(entry["options"]["expires"] >= 300 for entry in beat_schedule(tick_seconds=1.0).values())


def test_a_clock_set_back_does_not_stop_the_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    scheduler = beat.SteadyScheduler(app=celery_app)
    monkeypatch.setattr(scheduler, "apply_entry", lambda entry, **_: sent.append(entry.task))
    offset = beat._clock_offset()
    for entry in scheduler.schedule.values():
        entry.last_run_at = entry.default_now() + timedelta(days=365)
    _tick(scheduler)
    assert sent == []
    monkeypatch.setattr(beat, "_clock_offset", lambda: offset - 3_600)
    _tick(scheduler)
    time.sleep(1.1)
    _tick(scheduler)
    assert "polling.tick" in sent


def test_nothing_is_sent_to_a_queue_that_nobody_works_on(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: set[str] = set()
    scheduler = beat.SteadyScheduler(app=celery_app)
    monkeypatch.setattr(scheduler, "apply_async", lambda entry, **_: sent.add(entry.options["queue"]))
    for entry in scheduler.schedule.values():
        entry.last_run_at = entry.default_now() - timedelta(days=365)
    redis_client().rpush("history", *range(beat.MAX_WAITING))
    _tick(scheduler)
    assert sent == {"control"}
    assert redis_client().llen("history") == beat.MAX_WAITING


def _tick(scheduler: beat.SteadyScheduler) -> None:
    """Once for each entry, and once more."""
    for _ in range(len(scheduler.schedule) + 1):
        scheduler.tick()
