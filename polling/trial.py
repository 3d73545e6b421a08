"""Tries a credential on one target at a person's request, and says in words what came of it.

The web process asks and waits; a poll worker, which can reach the hosts and keeps their sessions, does it.
Only ids and the result travel: the message holds no secret, the answer lies in Redis for a minute.
"""

import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

import orjson
from celery import current_app
from django.conf import settings

from devices.crypto import payload_decrypt
from devices.errors import CredentialUnreadable
from devices.models import CredentialProfile
from devices.plugins import plugin_find
from devices.selectors import remembered_by_address
from nms_project.errors import OF_ALL_FIELDS, InvalidInput
from nms_project.queues import poll_queue
from nms_project.redis_client import redis_client
from plugins.contract import ErrorCode, Result, Task, failed
from plugins.registry import ICMP, Plugin
from polling.dispatch import tasks_run
from polling.errors import NoWorker
from polling.runner import GRACE_SECONDS

ANSWER_SECONDS = 60
START_SECONDS = 5.0  # until a worker takes the message
POLL_SECONDS = 1
MAX_OPEN = 6  # trials at once, over all web processes
OPEN_KEY = "nms:trials:open"
OPEN_SECONDS = 120  # without a trial, until what a killed process had open is forgotten


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it. `document` is the poll's, as an operator would find it in the metrics."""

    success: bool
    error_code: str
    message: str
    hostname: str
    duration_ms: float | None
    document: dict[str, Any] | None


def credential_try(*, profile: CredentialProfile, target: str, port: int | None) -> Trial:
    """Raises InvalidInput, and NoWorker when nobody answers in time."""
    plugin = plugin_find(profile.protocol)
    if plugin is None or plugin.id == ICMP.id:
        raise InvalidInput(
            {OF_ALL_FIELDS: [f"There is nothing to try for the protocol {profile.protocol!r}."]}
        )
    with _one_of_few():
        return _ask_worker(profile, plugin, target, port)


@contextmanager
def _one_of_few() -> Iterator[None]:
    """Each trial holds a thread of the web server until it is over. Raises NoWorker when too many do."""
    client = redis_client()
    with client.pipeline() as pipeline:
        pipeline.set(OPEN_KEY, 0, nx=True, ex=OPEN_SECONDS)
        pipeline.incr(OPEN_KEY)
        _, count = pipeline.execute()
    try:
        if count > MAX_OPEN:
            raise NoWorker("Too many credentials are being tried at once. Try again shortly.")
        client.expire(OPEN_KEY, OPEN_SECONDS)  # not by a refused one: who asks again would wait for ever
        yield
    finally:
        client.decr(OPEN_KEY)


def _ask_worker(profile: CredentialProfile, plugin: Plugin, target: str, port: int | None) -> Trial:
    trial_id = uuid4().hex
    wait_seconds = START_SECONDS + settings.NMS_PLUGIN_TIMEOUT_SECONDS + GRACE_SECONDS
    current_app.send_task(
        "polling.try_credential",
        args=[trial_id, profile.pk, target, port or plugin.default_port],
        queue=poll_queue(zlib.crc32(target.encode()) % settings.NMS_POLL_SHARDS),
        expires=wait_seconds,
    )
    return _await(trial_id, wait_seconds)


def trial_run(trial_id: str, profile_id: int, target: str, port: int) -> None:
    """In the worker. A profile that is gone by now leaves nobody who could want the answer."""
    profile = CredentialProfile.objects.filter(pk=profile_id).first()
    if profile is None:
        return
    trial = _trial(_try(trial_id, profile, target, port))
    with redis_client().pipeline() as pipeline:
        pipeline.rpush(_key(trial_id), orjson.dumps(asdict(trial)))
        pipeline.expire(_key(trial_id), ANSWER_SECONDS)
        pipeline.execute()


def _try(trial_id: str, profile: CredentialProfile, target: str, port: int) -> Result:
    plugin = plugin_find(profile.protocol)
    if plugin is None:
        return failed(
            trial_id, ErrorCode.INTERNAL, f"the plugin {profile.protocol!r} is not installed on the worker"
        )
    try:
        credentials = payload_decrypt(profile.encrypted_payload)
    except CredentialUnreadable as error:
        return failed(trial_id, ErrorCode.INTERNAL, str(error))
    task = Task(
        trial_id,
        target,
        port,
        credentials,
        float(settings.NMS_PLUGIN_TIMEOUT_SECONDS),
        remembered=_remembered(target, port),
    )
    for results in tasks_run(plugin, [task], start_within_seconds=START_SECONDS, is_forced=True):
        for result in results:
            return result
    return failed(trial_id, ErrorCode.INTERNAL, "the plugin is busy and could not start in time")


def _remembered(target: str, port: int) -> dict[str, str]:
    """Of the device at that address: a host key that is known is not trusted anew for a trial."""
    try:
        address = str(ip_address(target))
    except ValueError:
        return {}
    return remembered_by_address([address], port).get(address, {})


def _trial(result: Result) -> Trial:
    return Trial(
        success=result.success,
        error_code=result.error_code.value if result.error_code else "",
        message=result.error or "the login works, and the target answers",
        hostname=result.hostname,
        duration_ms=result.duration_ms,
        document=orjson.loads(result.data) if result.data else None,
    )


def _await(trial_id: str, seconds: float) -> Trial:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found: Any = redis_client().blpop([_key(trial_id)], timeout=POLL_SECONDS)
        if found is not None:
            return Trial(**orjson.loads(found[1]))
    raise NoWorker("No poll worker answered. See whether the workers of the poll queues run.")


def _key(trial_id: str) -> str:
    return f"nms:trial:{trial_id}"
