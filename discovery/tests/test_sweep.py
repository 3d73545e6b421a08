"""Runs and sweeps: real fping, a plugin made for the test, and deliveries that go wrong."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from kombu.exceptions import OperationalError as BrokerError
from rest_framework.test import APIClient

from devices.crypto import payload_encrypt
from devices.models import CredentialProfile, Device, DeviceStatus, PollState
from devices.services import devices_register
from discovery import services
from discovery.models import DiscoveryProfile, DiscoveryResult, DiscoveryRun, Outcome, RunStatus
from discovery.selectors import runs_with_progress
from discovery.sweep import sweep
from discovery.tasks import prune_task
from nms_project.errors import Conflict
from nms_project.redis_client import redis_client
from polling import runners

pytestmark = pytest.mark.usefixtures("committed")

# Answers by the last digits of the address: .13 refuses the login, .14 has no name, .15 is never answered.
PLUGIN = """#!/usr/bin/env python3
import json, sys
results = []
for task in json.load(sys.stdin):
    base = {"request_id": task["request_id"], "target": task["target"], "port": task["port"]}
    last = task["target"].rpartition(".")[2]
    assert sys.argv[1:] == ["-discovery"] and task["credentials"] == {"key": "s3cret"}
    if last == "13":
        results.append({**base, "success": False, "error_code": "auth", "error": "login refused"})
    elif last == "14":
        results.append({**base, "success": True})
    elif last != "15":
        results.append({**base, "success": True, "hostname": "host-" + last})
print(json.dumps(results))
"""

Profile = Callable[..., DiscoveryProfile]


@pytest.fixture
def profile(tmp_path: Path, settings: Any) -> Iterator[Profile]:
    folder = tmp_path / "plugins" / "made"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(
        '{"id": "made", "default_port": 7, "executable": "run", "credential_schema": {}, "modes": ["batch"]}'
    )
    (folder / "run").write_text(PLUGIN)
    (folder / "run").chmod(0o755)
    settings.NMS_PLUGINS_DIR = folder.parent

    def make(name: str = "made", **fields: Any) -> DiscoveryProfile:
        credential, _ = CredentialProfile.objects.get_or_create(
            name=name, protocol="made", defaults={"encrypted_payload": payload_encrypt({"key": "s3cret"})}
        )
        values = {"target": "127.20.0.11-16", "port": 7, "credential_profile": credential, **fields}
        return DiscoveryProfile.objects.create(name=name, **values)

    yield make
    runners.close_all()
    runners._runners.clear()


def drain(run: DiscoveryRun) -> None:
    """Works on the run's chunks as the workers would, in this process."""
    while (chunk := services.chunk_next(run.pk)) is not None:
        sweep(run.pk, chunk.start, chunk.stop)
    services.run_finish(run.pk)


def start(profile: DiscoveryProfile) -> DiscoveryRun:
    """Without sending anything: the test decides what is delivered."""
    return DiscoveryRun.objects.create(profile=profile, target=profile.target, total=_total(profile))


def _total(profile: DiscoveryProfile) -> int:
    from discovery.targets import target_parse

    return target_parse(profile.target).total


def test_each_address_gets_a_result_with_its_reason(profile: Profile) -> None:
    run = start(profile())
    drain(run)
    results = {row.target: (row.outcome, row.error_code, row.hostname) for row in run.results.all()}
    assert results == {
        "127.20.0.11": ("created", "", "host-11"),
        "127.20.0.12": ("created", "", "host-12"),
        "127.20.0.13": ("failed", "auth", ""),
        "127.20.0.14": ("failed", "protocol", ""),
        "127.20.0.15": ("failed", "protocol", ""),
        "127.20.0.16": ("created", "", "host-16"),
    }
    shown: Any = runs_with_progress().get(pk=run.pk)
    assert (shown.status, shown.done, shown.found, shown.created, shown.failed) == ("done", 6, 3, 3, 3)


def test_runs_that_ended_long_ago_are_deleted_with_their_results(profile: Profile) -> None:
    made = profile(target="127.20.0.11")
    old, new = start(made), start(made)
    drain(old)
    drain(new)
    DiscoveryRun.objects.filter(pk=old.pk).update(finished_at=Now() - timedelta(days=366))
    prune_task()
    assert [run.pk for run in DiscoveryRun.objects.all()] == [new.pk]
    assert {result.run_id for result in DiscoveryResult.objects.all()} == {new.pk}
    assert Device.objects.count() == 1


def test_devices_that_are_deleted_while_they_are_recorded_are_new_ones(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = profile(target="127.20.0.11")
    drain(start(made))
    old = Device.objects.get().pk

    def delete() -> None:
        Device.objects.all().delete()
        connection.close()

    def register_and_lose(**fields: Any) -> Any:
        found = devices_register(**fields)
        if Device.objects.filter(pk=old).exists():
            deleting = threading.Thread(target=delete)
            deleting.start()
            deleting.join()
        return found

    monkeypatch.setattr("discovery.sweep.devices_register", register_and_lose)
    run = start(made)
    drain(run)
    (result,) = run.results.all()
    assert (result.outcome, result.device_id) == (Outcome.CREATED, Device.objects.get().pk)


@pytest.mark.parametrize(("auto", "status"), [(True, DeviceStatus.ACTIVE), (False, DeviceStatus.DISCOVERED)])
def test_auto_provision_decides_the_status(profile: Profile, auto: bool, status: DeviceStatus) -> None:
    drain(start(profile(target="127.20.0.11", auto_provision=auto, polling_interval_seconds=30)))
    device = Device.objects.get()
    assert (device.status, device.should_ping, device.polling_interval_seconds) == (status, True, 30)
    assert (PollState.objects.get(device=device).next_poll_at is not None) == auto


def test_an_existing_device_keeps_its_settings(profile: Profile) -> None:
    made = profile(target="127.20.0.11")
    drain(start(made))
    Device.objects.update(hostname="renamed", polling_interval_seconds=300, status=DeviceStatus.INACTIVE)
    run = start(made)
    drain(run)
    device = Device.objects.get()
    assert (device.hostname, device.polling_interval_seconds, device.status) == ("renamed", 300, "inactive")
    assert run.results.get().outcome == Outcome.KNOWN


def test_a_task_delivered_twice_counts_nothing_twice(profile: Profile) -> None:
    run = start(profile())
    chunk = services.chunk_next(run.pk)
    assert chunk is not None
    for _ in range(3):
        sweep(run.pk, chunk.start, chunk.stop)
    assert DiscoveryResult.objects.filter(run=run).count() == 6
    assert Device.objects.count() == 3
    assert DiscoveryResult.objects.filter(run=run, outcome=Outcome.CREATED).count() == 3


def test_two_runs_at_once_on_overlapping_targets_make_each_device_once(profile: Profile) -> None:
    runs = [start(profile("a", target="127.20.0.16-60")), start(profile("b", target="127.20.0.40-90"))]
    errors: list[BaseException] = []

    def work(run: DiscoveryRun) -> None:
        try:
            drain(run)
        except BaseException as error:  # noqa: BLE001 (shown by the assertion)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Device.objects.count() == PollState.objects.count() == 75
    assert DiscoveryResult.objects.filter(outcome=Outcome.CREATED).count() == 75
    assert set(DiscoveryRun.objects.values_list("status", flat=True)) == {RunStatus.DONE}


def test_a_run_is_cut_into_chunks_of_256(profile: Profile) -> None:
    run = start(profile(target="127.20.0.0/22"))
    chunks = []
    while (chunk := services.chunk_next(run.pk)) is not None:
        chunks.append((chunk.start, chunk.stop))
    assert chunks == [(0, 256), (256, 512), (512, 768), (768, 1_022)]


def test_editing_the_profile_does_not_move_a_run_under_way(profile: Profile) -> None:
    made = profile(target="127.20.0.11")
    run = start(made)
    DiscoveryProfile.objects.filter(pk=made.pk).update(target="127.20.0.99")
    drain(run)
    assert run.results.get().target == "127.20.0.11"


def test_a_stalled_run_is_taken_up_again(profile: Profile) -> None:
    run = start(profile())
    assert services.chunk_next(run.pk) is not None
    assert services.chunk_next(run.pk) is None
    assert services.runs_resume() == 0
    DiscoveryRun.objects.update(progressed_at=Now() - timedelta(minutes=5))
    assert services.runs_resume() == 1
    assert redis_client().llen("discovery") == 1


def test_runs_that_wait_for_busy_workers_are_not_stalled(profile: Profile) -> None:
    run = start(profile())
    services.chunk_dispatch(run.pk)
    DiscoveryRun.objects.update(progressed_at=Now() - timedelta(minutes=5))
    assert services.runs_resume() == 0


def test_a_run_started_while_the_broker_is_away_is_taken_up_later(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: int) -> None:
        raise BrokerError("connection refused")

    with monkeypatch.context() as broken:
        broken.setattr(services, "chunk_dispatch", away)
        services.run_start(profile())
    DiscoveryRun.objects.update(progressed_at=Now() - timedelta(minutes=5))
    assert services.runs_resume() == 1


def test_a_run_that_failed_probes_nobody_any_more(profile: Profile) -> None:
    run = start(profile())
    services.run_fail(run.pk, "a reason")
    sweep(run.pk, 0, 6)
    assert not run.results.exists()


def test_ping_only_discovery_needs_no_plugin(icmp_credential: CredentialProfile) -> None:
    made = DiscoveryProfile.objects.create(
        name="ping", target="127.21.0.1-3", port=0, credential_profile=icmp_credential, auto_provision=True
    )
    drain(start(made))
    devices = list(Device.objects.values_list("plugin_id", "port", "hostname"))
    assert [device[:2] for device in devices] == [("icmp", 0)] * 3
    assert all(hostname for _, _, hostname in devices)


def test_a_host_may_be_both(profile: Profile, icmp_credential: CredentialProfile) -> None:
    drain(start(profile(target="127.20.0.11")))
    ping_only = DiscoveryProfile.objects.create(
        name="ping", target="127.20.0.11", port=0, credential_profile=icmp_credential
    )
    drain(start(ping_only))
    assert sorted(Device.objects.values_list("port", flat=True)) == [0, 7]


def test_fping_that_cannot_work_fails_the_run_with_the_reason(profile: Profile, settings: Any) -> None:
    settings.NMS_FPING = "/nonexistent/fping"
    run = start(profile())
    drain(run)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert "apt-get install fping" in run.error


def test_without_ping_first_fping_is_not_needed(profile: Profile, settings: Any) -> None:
    settings.NMS_FPING = "/nonexistent/fping"
    drain(start(profile(target="127.20.0.11", ping_first=False)))
    assert Device.objects.count() == 1


def test_a_secret_no_key_opens_fails_the_run(profile: Profile) -> None:
    run = start(profile())
    CredentialProfile.objects.update(encrypted_payload="damaged")
    drain(run)
    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert "NMS_ENCRYPTION_KEYS" in run.error


def test_a_plugin_that_is_gone_is_the_reason_of_each_address(profile: Profile, settings: Any) -> None:
    run = start(profile(ping_first=False))
    settings.NMS_PLUGINS_DIR = Path("/nonexistent")
    drain(run)
    assert set(run.results.values_list("outcome", "error_code")) == {("failed", "internal")}


def test_a_deleted_run_is_passed_over(profile: Profile) -> None:
    run = start(profile())
    pk = run.pk
    run.delete()
    sweep(pk, 0, 6)
    assert not Device.objects.exists()


@pytest.mark.parametrize("turn", range(3))
def test_a_profile_is_deleted_while_runs_of_it_start_and_are_worked_on(
    profile: Profile, api: APIClient, turn: int
) -> None:
    """Nobody waits for somebody who waits for him, and nothing is left of it."""
    made = profile(target="127.20.0.13")

    def start_always() -> None:
        with suppress(Conflict):
            while True:
                services.run_start(made)
        connection.close()

    def sweep_always() -> None:
        while DiscoveryProfile.objects.filter(pk=made.pk).exists():
            for run_id in DiscoveryRun.objects.values_list("pk", flat=True)[:2]:
                sweep(run_id, 0, 1)
        connection.close()

    with ThreadPoolExecutor() as pool:
        others = [pool.submit(work) for work in (start_always, start_always, start_always, sweep_always)]
        while made.runs.count() < 4:
            time.sleep(0.01)
        answer = api.delete(f"/api/v1/discovery_profiles/{made.pk}")
        DiscoveryProfile.objects.filter(pk=made.pk).delete()  # ends the others, whatever became of ours
        for other in others:
            other.result()
    assert answer.status_code == 204
    assert not DiscoveryRun.objects.exists()


# Each host takes one password: its address's last digits.
KEYED = """#!/usr/bin/env python3
import json, sys
results = []
for task in json.load(sys.stdin):
    last = task["target"].rpartition(".")[2]
    result = {"request_id": task["request_id"], "success": task["credentials"]["password"] == last}
    if result["success"]:
        result |= {"hostname": "host-" + last, "remember": {"host_key": "key-of-" + last}}
    else:
        result |= {"error_code": "timeout" if last == "19" else "auth", "error": "not this one"}
    results.append(result)
print(json.dumps(results))
"""


def credential(password: str) -> CredentialProfile:
    return CredentialProfile.objects.create(
        name=f"password {password}",
        protocol="made",
        encrypted_payload=payload_encrypt({"username": "root", "password": password}),
    )


def keyed(profile: Profile, settings: Any, target: str, passwords: list[str]) -> DiscoveryProfile:
    (settings.NMS_PLUGINS_DIR / "made" / "run").write_text(KEYED)
    first, *others = [credential(password) for password in passwords]
    made = profile(target=target, credential_profile=first)
    services.fallbacks_set(made, others)
    return made


def test_credentials_are_tried_in_order_and_the_one_that_worked_is_stored(
    profile: Profile, settings: Any
) -> None:
    made = keyed(profile, settings, "127.20.0.11-14", ["11", "12", "13"])
    run = start(made)
    drain(run)
    found = {device.hostname: device for device in Device.objects.select_related("credential_profile")}
    assert {name: device.credential_profile.name for name, device in found.items()} == {
        "host-11": "password 11",
        "host-12": "password 12",
        "host-13": "password 13",
    }
    assert found["host-12"].remembered == {"host_key": "key-of-12"}
    refused = run.results.get(outcome=Outcome.FAILED)
    assert refused.error_code == "auth"
    assert refused.error == (
        "password 11: not this one; password 12: not this one; password 13: not this one"
    )


def test_no_account_is_tried_more_often_than_allowed(profile: Profile, settings: Any) -> None:
    """Five passwords for the same user name on one host: three are tried."""
    run = start(keyed(profile, settings, "127.20.0.11", ["1", "2", "3", "4", "11"]))
    drain(run)
    (result,) = run.results.all()
    assert (result.outcome, result.error_code) == (Outcome.FAILED, "auth")
    assert result.error.count("not this one") == 3
    assert result.error.count("not attempted") == 1  # and then none: it is not known to be wrong


@pytest.mark.parametrize(("is_silent", "hosts"), [(False, 0), (True, 1)])
def test_a_silent_host_is_asked_again_where_wrong_credentials_are_silent(
    profile: Profile, settings: Any, is_silent: bool, hosts: int
) -> None:
    made = keyed(profile, settings, "127.20.0.19", ["1", "19"])
    manifest = settings.NMS_PLUGINS_DIR / "made" / "manifest.json"
    if is_silent:
        manifest.write_text(manifest.read_text().replace("{", '{"wrong_credentials_are_silent": true, ', 1))
    drain(start(made))
    assert Device.objects.count() == hosts


def test_chunks_are_smaller_with_more_credentials(profile: Profile, settings: Any) -> None:
    run = start(keyed(profile, settings, "127.20.0.0/20", ["1", "2"]))
    assert services.chunk_next(run.pk) == range(128)
