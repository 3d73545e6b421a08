"""Why a device is polled, or is not: what an operator would otherwise gather from four places."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.conf import settings

from devices.crypto import payload_check
from devices.errors import CredentialUnreadable
from devices.models import Device, DeviceStatus
from devices.plugins import plugin_find
from health.windows import FailureState, failures_read
from plugins.registry import ICMP
from polling.models import Verdict, VerdictKind

SHOWN_VERDICTS = 10
OVERDUE = timedelta(seconds=15)  # a tick that late is no chance


@dataclass(frozen=True, slots=True)
class Explanation:
    """`reasons` say it in words, what decides first. `failures` is None when Redis does not tell."""

    device: Device
    is_polled: bool
    reasons: Sequence[str]
    failures: FailureState | None
    verdicts: Sequence[Verdict]


def device_explain(device: Device, now: datetime) -> Explanation:
    """`device` comes with its poll_state and credential_profile."""
    verdicts = list(Verdict.objects.filter(device_id=device.pk).order_by("-due_at")[:SHOWN_VERDICTS])
    try:
        failures = failures_read(
            device_id=device.pk,
            since=device.status_since,
            interval_seconds=device.polling_interval_seconds,
            now=now,
        )
    except redis.RedisError:
        failures = None
    is_polled = device.status == DeviceStatus.ACTIVE
    reasons = [
        *_of_configuration(device),
        *(_of_schedule(device, now) if is_polled else [_off_schedule(device)]),
        *_of_verdicts(verdicts),
        *(_of_failures(device, failures) if is_polled else ()),
    ]
    return Explanation(device, is_polled, reasons, failures, verdicts)


def _off_schedule(device: Device) -> str:
    why = f": {device.status_reason}" if device.status_reason else ""
    since = _time(device.status_since)
    return f"It is {device.status} since {since}{why}. It is not polled until it is provisioned."


def _of_configuration(device: Device) -> Iterator[str]:
    if device.plugin_id != ICMP.id and plugin_find(device.plugin_id) is None:
        yield f"There is no plugin {device.plugin_id!r}: install it, or delete the device."
    try:
        payload_check(device.credential_profile.encrypted_payload)
    except CredentialUnreadable as error:
        yield f"Its credential profile {device.credential_profile.name!r} cannot be used: {error}"


def _of_schedule(device: Device, now: datetime) -> Iterator[str]:
    state = device.poll_state
    if state.leased_until is not None and state.lease_due_at is not None:
        slot, until = _time(state.lease_due_at), _time(state.leased_until)
        if state.leased_until > now:
            yield f"The slot of {slot} is being worked on, until {until}."
        else:
            yield f"The slot of {slot} got no answer in time; its verdict will be lost."
    if state.next_poll_at is None:
        yield "It has no next slot although it is active: provision it again."
    elif state.next_poll_at < now - OVERDUE:
        yield (
            f"Its slot of {_time(state.next_poll_at)} is overdue: no scheduler claims it. "
            "See whether beat and a worker of the queue control are running."
        )
    else:
        yield f"It is polled every {state.interval_seconds} s; the next slot is {_time(state.next_poll_at)}."


def _of_verdicts(verdicts: Sequence[Verdict]) -> Iterator[str]:
    if not verdicts:
        yield "It has no verdict yet."
        return
    newest = verdicts[0]
    said = f": {newest.error}" if newest.error else ""
    words = {
        VerdictKind.OK.value: "It answered its newest poll.",
        VerdictKind.PING_FAILED.value: "fping did not reach it, so that it was not polled.",
        VerdictKind.OVERRUN.value: "Its newest slot came while the one before was still being worked on.",
        VerdictKind.LOST.value: "Its newest slot was lost: a worker ended, or the queue is too long.",
    }
    yield words.get(newest.kind, f"Its newest poll ended in {newest.kind}{said}.")


def _of_failures(device: Device, failures: FailureState | None) -> Iterator[str]:
    if failures is None:
        yield "How often it failed of late is not known: Redis is away."
    elif failures.count:
        yield (
            f"{failures.count} of {settings.NMS_FAILURE_THRESHOLD} failures, each within "
            f"{failures.window_seconds} s of the last, after which it is deactivated."
        )


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
