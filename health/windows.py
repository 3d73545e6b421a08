"""Failure windows in Redis: one hash a device, changed by one server-side script only. Keys are built here
alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings

from devices.schedule import from_microseconds, to_microseconds
from nms_project.redis_client import lua_script, redis_client

SCRIPT = lua_script(Path(__file__).parent / "lua" / "failure_record.lua")


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed slot of an active device. `since` is when the device became active: the period the failure
    belongs to.
    """

    device_id: int
    due_at: datetime
    since: datetime
    interval_seconds: int
    reason: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of one failure: `count` is 0 for one that had been counted before."""

    failure: Failure
    count: int
    has_tripped: bool


def key(device_id: int) -> str:
    return f"nms:failures:{device_id}"


def effective_window(interval_seconds: int) -> int:
    """Seconds. Twice the interval at least, or a device polled rarely could never reach the threshold."""
    return max(int(settings.NMS_FAILURE_WINDOW_SECONDS), 2 * interval_seconds)


def failures_count(failures: Sequence[Failure]) -> list[Counted]:
    """Feeds the failures in the order of their slots. Raises redis.RedisError when Redis is away."""
    ordered = sorted(failures, key=lambda failure: failure.due_at)
    with redis_client().pipeline(transaction=False) as pipeline:
        for failure in ordered:
            window = effective_window(failure.interval_seconds)
            SCRIPT(
                keys=[key(failure.device_id)],
                args=[
                    to_microseconds(failure.due_at),
                    to_microseconds(failure.since),
                    window * 1_000_000,
                    settings.NMS_FAILURE_THRESHOLD,
                    2 * window,
                ],
                client=pipeline,
            )
        answers = pipeline.execute()
    return [
        Counted(failure, int(count), bool(tripped))
        for failure, (count, tripped) in zip(ordered, answers, strict=True)
    ]


def failures_forget(device_ids: Sequence[int]) -> None:
    """Deletes the records of devices. Raises redis.RedisError when Redis is away."""
    if device_ids:
        redis_client().delete(*map(key, device_ids))


@dataclass(frozen=True, slots=True)
class FailureState:
    """What is counted against a device now. `window_seconds`: a longer gap begins the count anew."""

    count: int
    last_at: datetime | None
    window_seconds: int


def failures_read(*, device_id: int, since: datetime, interval_seconds: int, now: datetime) -> FailureState:
    """Of the period of activity that began at `since`. What was a window ago at `now` counts no more. Raises
    redis.RedisError when Redis is away.
    """
    window = effective_window(interval_seconds)
    period, count, last = redis_client().hmget(key(device_id), "since", "count", "last")
    if not (period and count and last) or int(period) != to_microseconds(since):
        return FailureState(0, None, window)
    last_at = from_microseconds(int(last))
    counts = now - last_at < timedelta(seconds=window)
    return FailureState(int(count) if counts else 0, last_at if counts else None, window)
