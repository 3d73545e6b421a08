"""Works on one chunk of a run: ping, probe, register, and one result for each address.

It may be delivered twice, and beside another run over the same addresses: addresses that have their result
are left out, results are unique by address, and a device is made once.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from devices.crypto import payload_decrypt
from devices.errors import CredentialUnreadable
from devices.models import CredentialProfile, DeviceStatus, name_cleaned
from devices.plugins import plugin_find
from devices.selectors import remembered_by_address
from devices.services import Found, devices_register
from discovery import services
from discovery.models import DiscoveryProfile, DiscoveryResult, DiscoveryRun, Outcome, RunStatus
from discovery.names import reverse_names
from discovery.targets import target_parse
from nms_project.errors import Conflict
from plugins.contract import ErrorCode, Operation, Result, Task
from plugins.registry import ICMP, Plugin
from polling.dispatch import tasks_run
from polling.errors import FpingFault
from polling.fping import ping

START_WITHIN_SECONDS = 60.0
RECORD_PAUSES = (0.1, 0.3, 1.0)  # seconds before what was found is recorded once more


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known of one address: a host name and the credential that led to it, or why there is none."""

    address: str
    hostname: str = ""
    error_code: str = ""
    error: str = ""
    credential_profile_id: int = 0
    was_attempted: bool = True
    remembered: Mapping[str, str] = field(default_factory=dict)


def sweep(run_id: int, start: int, stop: int) -> None:
    """Ends the run, or hands on its next chunk, when this one is through."""
    open_runs = DiscoveryRun.objects.filter(status__in=[RunStatus.QUEUED, RunStatus.RUNNING])
    run = open_runs.select_related("profile__credential_profile").filter(pk=run_id).first()
    if run is None:
        return
    todo = _unfinished(run, start, stop)
    try:
        for probes in _probe(run.profile, todo):
            if not _record(run, probes):
                return
    except (FpingFault, CredentialUnreadable) as error:
        services.run_fail(run_id, str(error))
        return
    if not services.run_finish(run_id):
        services.chunk_dispatch(run_id)


def _unfinished(run: DiscoveryRun, start: int, stop: int) -> list[str]:
    addresses = list(target_parse(run.target).addresses(start, stop - start))
    finished = run.results.filter(target__in=addresses).values_list("target", flat=True)
    done = set(map(str, finished))
    return [address for address in addresses if address not in done]


def _probe(profile: DiscoveryProfile, addresses: Sequence[str]) -> Iterator[list[Probe]]:
    plugin = plugin_find(profile.credential_profile.protocol)
    if plugin is None:
        error = f"the plugin {profile.credential_profile.protocol!r} is not installed"
        yield [Probe(address, error_code=ErrorCode.INTERNAL, error=error) for address in addresses]
        return
    is_ping_only = plugin.id == ICMP.id
    alive: Sequence[str] = addresses
    if profile.ping_first or is_ping_only:
        echoes = ping(addresses)
        alive = [address for address in addresses if echoes[address].is_alive]
        yield [
            Probe(
                address,
                # What was not sent is this machine's fault.
                error_code=ErrorCode.INTERNAL if echo.unsent else ErrorCode.UNREACHABLE,
                error=echo.unsent or "no answer to ping",
                was_attempted=not echo.unsent,
            )
            for address, echo in echoes.items()
            if not echo.is_alive
        ]
    if is_ping_only:
        names = reverse_names(alive)
        credential_id = profile.credential_profile_id
        yield [
            Probe(
                address,
                hostname=name_cleaned(names.get(address, "")) or address,
                credential_profile_id=credential_id,
            )
            for address in alive
        ]
    else:
        yield from _ask_plugin(plugin, profile, alive)


def _ask_plugin(plugin: Plugin, profile: DiscoveryProfile, addresses: Sequence[str]) -> Iterator[list[Probe]]:
    """One credential after the other, each on the hosts that refused those before it."""
    credentials = profile.credential_profiles()
    refusals: dict[str, list[str]] = {}
    remaining = list(addresses)
    for credential in credentials:
        is_last = credential is credentials[-1]
        again: list[str] = []
        start_within = START_WITHIN_SECONDS / len(credentials)
        for probes in _ask_with(plugin, profile.port, credential, remaining, start_within):
            final = []
            for probe in probes:
                if probe.error_code:
                    refusals.setdefault(probe.address, []).append(f"{credential.name}: {probe.error}")
                if not is_last and _is_worth_another(plugin, probe):
                    again.append(probe.address)
                else:
                    final.append(_with_all_errors(probe, refusals.get(probe.address, [])))
            yield final
        remaining = again


def _ask_with(
    plugin: Plugin, port: int, credential: CredentialProfile, addresses: Sequence[str], start_within: float
) -> Iterator[list[Probe]]:
    secret = payload_decrypt(credential.encrypted_payload)
    by_request = {uuid4().hex: address for address in addresses}
    known = remembered_by_address(addresses, port)
    tasks = [
        Task(
            request_id=request_id,
            target=address,
            port=port,
            credentials=secret,
            timeout_seconds=settings.NMS_PLUGIN_TIMEOUT_SECONDS,
            operation=Operation.DISCOVERY,
            remembered=known.get(address, {}),
        )
        for request_id, address in by_request.items()
    ]
    for results in tasks_run(plugin, tasks, start_within_seconds=start_within):
        yield [_found(by_request[result.request_id], credential, result) for result in results]


def _found(address: str, credential: CredentialProfile, result: Result) -> Probe:
    hostname = name_cleaned(result.hostname)
    if result.success and hostname:
        return Probe(
            address,
            hostname=hostname,
            credential_profile_id=credential.pk,
            remembered=result.remember,
        )
    code = result.error_code or ErrorCode.PROTOCOL
    error = result.error or "the host did not tell its name"
    return Probe(address, error_code=code, error=error, was_attempted=result.was_attempted)


def _with_all_errors(probe: Probe, errors: Sequence[str]) -> Probe:
    """Where several credentials failed, what each of them met."""
    return replace(probe, error="; ".join(errors)) if probe.error_code and len(errors) > 1 else probe


def _is_worth_another(plugin: Plugin, probe: Probe) -> bool:
    """Whether another credential may do better. One that was not tried is not known to be wrong."""
    if not probe.was_attempted:
        return False
    if probe.error_code == ErrorCode.TIMEOUT:
        return plugin.wrong_credentials_are_silent
    return probe.error_code == ErrorCode.AUTH


def _record(run: DiscoveryRun, probes: Sequence[Probe]) -> bool:
    """False when the profile was deleted meanwhile. A device that is being deleted just now is found again a
    moment later, as a new one.
    """
    for pause in RECORD_PAUSES:
        try:
            return _record_once(run, probes)
        except (IntegrityError, Conflict):
            time.sleep(pause)  # for the other to have deleted what it deletes
    return _record_once(run, probes)


@transaction.atomic
def _record_once(run: DiscoveryRun, probes: Sequence[Probe]) -> bool:
    """Devices and results in one transaction: a kill in between would turn a created device into a known
    one.
    """
    profile = run.profile
    if not services.profile_lock(profile.pk):
        return False
    found = [
        Found(probe.address, probe.hostname, probe.credential_profile_id, probe.remembered)
        for probe in probes
        if probe.hostname
    ]
    devices = devices_register(
        found=found,
        port=profile.port,
        plugin_id=profile.credential_profile.protocol,
        discovery_profile=profile,
        polling_interval_seconds=profile.polling_interval_seconds,
        should_ping=True,
        status=DeviceStatus.ACTIVE if profile.auto_provision else DeviceStatus.DISCOVERED,
    )
    rows = []
    for probe in probes:
        device_id, is_created = devices.get(probe.address, (None, False))
        reached = Outcome.CREATED if is_created else Outcome.KNOWN
        rows.append(
            DiscoveryResult(
                run=run,
                target=probe.address,
                outcome=reached if probe.hostname else Outcome.FAILED,
                error_code=probe.error_code,
                error=probe.error[:500],
                hostname=probe.hostname,
                device_id=device_id,
            )
        )
    DiscoveryResult.objects.bulk_create(rows, ignore_conflicts=True)
    DiscoveryRun.objects.filter(pk=run.pk).update(progressed_at=Now())
    return True
