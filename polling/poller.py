"""The poll stage: credentials fetched and decrypted at the last moment, the plugin run, results handed on as
they come.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from django.conf import settings

from devices.crypto import payload_decrypt
from devices.errors import CredentialUnreadable
from devices.models import CredentialProfile, DeviceStatus
from devices.plugins import plugin_find
from devices.services import device_remember, device_take_off
from devices.workers import others_have_keys, others_have_plugin
from plugins.contract import Result, Task
from polling.dispatch import tasks_run
from polling.guard import LeasedDevice, still_leased
from polling.runner import GRACE_SECONDS
from polling.slots import PingedSlot, Report
from polling.verdicts import not_attempted, poll_report

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    device: LeasedDevice
    pinged: PingedSlot


def poll_slots(plugin_id: str, slots: Sequence[PingedSlot]) -> Iterator[list[Report]]:
    """Polls the slots still leased; yields reports about once a second, one for each slot that was started in
    time.
    """
    leased = still_leased([pinged.slot for pinged in slots])
    jobs = [
        _Job(leased[pinged.device_id], pinged)
        for pinged in slots
        if pinged.device_id in leased and leased[pinged.device_id].plugin_id == plugin_id
    ]
    if not jobs:
        return
    plugin = plugin_find(plugin_id)
    if plugin is None:
        reason = f"the plugin {plugin_id!r} is not installed"
        if others_have_plugin(plugin_id):
            yield _leave(jobs, f"{reason} on this worker")
        else:
            yield _take_off(jobs, reason)
        return
    secrets, unreadable = _decrypt({job.device.credential_profile_id for job in jobs})
    broken = [job for job in jobs if job.device.credential_profile_id in unreadable]
    if broken and others_have_keys():
        yield _leave(broken, "this worker has not the keys of the others: start it again with the same")
    elif broken:
        yield _take_off(broken, "its stored secret cannot be decrypted")
    by_request = {uuid4().hex: job for job in jobs if job.device.credential_profile_id in secrets}
    tasks = [_task(request_id, job, secrets) for request_id, job in by_request.items()]
    # The plugin's own timeout must still fit into the lease of what starts last.
    work_seconds = settings.NMS_PLUGIN_TIMEOUT_SECONDS + GRACE_SECONDS
    start_within = min(job.device.seconds_left for job in jobs) - work_seconds
    started, began = datetime.now(UTC), time.monotonic()
    for results in tasks_run(plugin, tasks, start_within_seconds=max(0.0, start_within)):
        arrived, duration_ms = datetime.now(UTC), (time.monotonic() - began) * 1_000
        _remember(by_request, results)
        yield [
            poll_report(
                by_request[result.request_id].pinged,
                result,
                started=started,
                arrived=arrived,
                duration_ms=duration_ms,
            )
            for result in results
        ]


def _decrypt(profile_ids: set[int]) -> tuple[dict[int, dict[str, Any]], set[int]]:
    """The payloads by profile id, and the profiles no key opens. Decrypted values stay in this process and
    the plugin.
    """
    rows = CredentialProfile.objects.filter(pk__in=profile_ids).values_list("pk", "encrypted_payload")
    payloads: dict[int, dict[str, Any]] = {}
    unreadable: set[int] = set()
    for pk, encrypted in rows:
        try:
            payloads[pk] = payload_decrypt(encrypted)
        except CredentialUnreadable:
            unreadable.add(pk)
    return payloads, unreadable


def _task(request_id: str, job: _Job, secrets: dict[int, dict[str, Any]]) -> Task:
    return Task(
        request_id=request_id,
        target=job.device.ip_address,
        port=job.device.port,
        credentials=secrets[job.device.credential_profile_id],
        timeout_seconds=settings.NMS_PLUGIN_TIMEOUT_SECONDS,
        device_id=job.device.device_id,
        remembered=job.device.remembered,
    )


def _remember(jobs: Mapping[str, _Job], results: Sequence[Result]) -> None:
    for result in results:
        device = jobs[result.request_id].device
        if result.remember and not result.remember.keys() <= device.remembered.keys():
            device_remember(
                device_id=device.device_id,
                ip_address=device.ip_address,
                port=device.port,
                facts=result.remember,
            )


def _take_off(jobs: Sequence[_Job], reason: str) -> list[Report]:
    """Devices that their configuration keeps from being polled leave the schedule with the reason."""
    for job in jobs:
        device_take_off(device_id=job.device.device_id, status=DeviceStatus.ERROR, reason=reason)
    return _leave(jobs, reason)


def _leave(jobs: Sequence[_Job], reason: str) -> list[Report]:
    logger.error("%d devices cannot be polled: %s", len(jobs), reason)
    return [not_attempted(job.pinged.slot, reason, rtt_ms=job.pinged.rtt_ms) for job in jobs]
