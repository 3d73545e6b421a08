"""Tick, ping stage and poll stage against real fping and plugins, stage by stage in one process."""

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from celery import current_app

from devices.models import CredentialProfile, Device, DeviceStatus, PollState
from devices.schedule import to_microseconds
from devices.services import database_now
from nms_project import heartbeat
from nms_project.heartbeat import Beat, beat_write
from nms_project.redis_client import redis_client
from polling import runners
from polling.claim import slots_claim
from polling.models import VerdictKind
from polling.pinger import ping_slots
from polling.poller import poll_slots
from polling.scheduler import tick
from polling.slots import PingedSlot, Report, Slot
from polling.tests.conftest import verdict_kinds

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture(autouse=True)
def _fresh_runners() -> Iterator[None]:
    yield
    runners.close_all()
    runners._runners.clear()


def queued(queue: str) -> int:
    return int(redis_client().llen(queue))


def leased(device: Device) -> Slot:
    ((claimed,), _) = slots_claim(limit=1, lease_seconds=40)
    assert claimed.device_id == device.pk
    return Slot(device.pk, to_microseconds(claimed.due_at))


def install(tmp_path: Path, settings: Any, source: str) -> None:
    """A plugin of id winrm, so that the fixtures' devices use it."""
    folder = tmp_path / "plugins" / "winrm"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(
        '{"id": "winrm", "default_port": 1, "executable": "run", "credential_schema": {}, "modes": ["batch"]}'
    )
    (folder / "run").write_text(source)
    (folder / "run").chmod(0o755)
    settings.NMS_PLUGINS_DIR = folder.parent


def poll(slot: Slot) -> list[Report]:
    pinged = PingedSlot(*slot, 0.5, 0.0)
    return [report for reports in poll_slots("winrm", [pinged]) for report in reports]


def test_a_tick_sends_to_ping_or_straight_to_the_shard(device: Device, ping_device: Device) -> None:
    Device.objects.filter(pk=device.pk).update(should_ping=False)
    assert tick() == 2
    assert (queued("ping"), queued("poll.0") + queued("poll.1"), queued("store")) == (1, 1, 0)


@pytest.fixture
def _overloaded(settings: Any) -> None:
    """A queue for ping is full, and its worker lives."""
    settings.NMS_MAX_BACKLOG = 1
    beat_write("pinging", Beat("host", 1, ["ping"], threads=1, busy=1, done=0, load=0.0, memory_bytes=0))
    for number in range(3):
        current_app.send_task("polling.ping", args=[[]], queue="ping", task_id=str(number))


@pytest.mark.usefixtures("_overloaded")
def test_claiming_pauses_above_the_backlog(device: Device) -> None:
    assert tick() == 0
    assert PollState.objects.get(device=device).lease_due_at is None


@pytest.mark.usefixtures("_overloaded")
def test_a_queue_without_a_worker_stops_no_other_and_keeps_its_newest(device: Device) -> None:
    redis_client().delete(heartbeat.KEY)
    Device.objects.update(should_ping=False)
    assert tick() == 1
    (left,) = redis_client().lrange("ping", 0, -1)
    assert json.loads(left)["headers"]["id"] == "2"


def test_results_that_wait_are_never_dropped(device: Device, settings: Any) -> None:
    settings.NMS_MAX_BACKLOG = 1
    for _ in range(2):
        current_app.send_task("polling.store", args=[[]])
    assert tick() == 0
    assert queued("store") == 2


@pytest.mark.usefixtures("_overloaded")
def test_leases_end_also_while_claiming_pauses(device: Device) -> None:
    leased(device)
    PollState.objects.update(leased_until=database_now() - timedelta(seconds=1))
    assert tick() == 0
    assert verdict_kinds(device.pk) == ["lost"]


def test_discovery_never_pauses_polling(device: Device, settings: Any) -> None:
    settings.NMS_MAX_BACKLOG = 1
    for _ in range(3):
        current_app.send_task("discovery.sweep", args=[1, 0, 1])
    assert tick() == 1


def test_a_ping_only_device_has_its_document_from_the_ping(ping_device: Device) -> None:
    (report,) = ping_slots([leased(ping_device)])
    assert report.kind == VerdictKind.OK
    assert report.document is not None
    assert report.document.startswith('{"icmp":{"rtt_ms":0.')
    assert queued("poll.0") + queued("poll.1") == 0


def test_one_that_answers_goes_on_to_its_plugin(device: Device) -> None:
    assert ping_slots([leased(device)]) == []
    assert queued("poll.0") + queued("poll.1") == 1


def test_one_that_does_not_answer_counts_as_a_failure(device: Device, tmp_path: Path, settings: Any) -> None:
    binary = tmp_path / "fping"
    binary.write_text('#!/bin/sh\nwhile read a; do echo "$a is unreachable"; done\nexit 1\n')
    binary.chmod(0o755)
    settings.NMS_FPING = str(binary)
    (report,) = ping_slots([leased(device)])
    assert (report.kind, report.is_counting, report.document) == (VerdictKind.PING_FAILED, True, None)


def test_what_cannot_be_sent_to_counts_against_nobody_though_others_answer(
    device: Device, ping_device: Device
) -> None:
    Device.objects.filter(pk=device.pk).update(ip_address="255.255.255.255")
    unsent, answered = ping_slots([leased(device), leased(ping_device)])
    assert (unsent.kind, unsent.is_counting, unsent.attempted) == (VerdictKind.PLUGIN_ERROR, False, False)
    assert "Permission denied" in unsent.error
    assert answered.kind == VerdictKind.OK


def test_an_abnormal_fping_counts_against_nobody(device: Device, settings: Any) -> None:
    settings.NMS_FPING = "/nonexistent/fping"
    (report,) = ping_slots([leased(device)])
    assert (report.kind, report.is_counting, report.attempted) == (VerdictKind.PLUGIN_ERROR, False, False)
    assert "apt-get install fping" in report.error


def test_slots_that_moved_on_are_dropped(device: Device, ping_device: Device) -> None:
    claimed, _ = slots_claim(limit=10, lease_seconds=40)
    slots = [Slot(slot.device_id, to_microseconds(slot.due_at)) for slot in claimed]
    PollState.objects.update(leased_until=database_now())
    assert ping_slots(slots) == []
    assert [
        slot for reports in poll_slots("winrm", [PingedSlot(*slots[0], None, None)]) for slot in reports
    ] == []
    assert queued("poll.0") + queued("poll.1") == 0


def test_a_device_deleted_in_flight_is_dropped(device: Device) -> None:
    slot = leased(device)
    device.delete()
    assert ping_slots([slot]) == []
    assert poll(slot) == []


def test_a_poll_reports_document_rtt_and_times(device: Device, tmp_path: Path, settings: Any) -> None:
    source = """#!/usr/bin/env python3
import json, sys
(task,) = json.load(sys.stdin)
assert task["credentials"]["password"] == "s3cret-of-winrm" and task["device_id"]
data = {"target": task["target"], "port": task["port"]}
print(json.dumps([{"request_id": task["request_id"], "success": True, "data": data,
                   "sampled_at": "1999-01-01T00:00:00+00:00", "duration_ms": 7}]))
"""
    install(tmp_path, settings, source)
    slot = leased(device)
    (report,) = poll(slot)
    assert (report.kind, report.rtt_ms, report.duration_ms) == (VerdictKind.OK, 0.5, 7)
    assert report.document == '{"target":"127.20.0.1","port":5985}'
    assert report.sampled_us == slot.due_us, "clamped: a host's clock is its own affair"


@pytest.mark.parametrize(
    ("code", "kind", "counts"),
    [
        ("auth", VerdictKind.AUTH_FAILED, True),
        ("timeout", VerdictKind.TIMEOUT, True),
        ("refused", VerdictKind.POLL_FAILED, True),
        ("unreachable", VerdictKind.POLL_FAILED, True),
        ("protocol", VerdictKind.POLL_FAILED, True),
        ("script", VerdictKind.POLL_FAILED, True),
        ("quota", VerdictKind.POLL_FAILED, False),
        ("internal", VerdictKind.PLUGIN_ERROR, False),
        ("nonsense", VerdictKind.PLUGIN_ERROR, False),
    ],
)
def test_error_codes_become_verdicts(
    device: Device, tmp_path: Path, settings: Any, code: str, kind: VerdictKind, counts: bool
) -> None:
    source = f"""#!/usr/bin/env python3
import json, sys
(task,) = json.load(sys.stdin)
answer = {{"request_id": task["request_id"], "success": False, "error_code": "{code}", "error": "e"}}
print(json.dumps([answer]))
"""
    install(tmp_path, settings, source)
    (report,) = poll(leased(device))
    assert (report.kind, report.is_counting, report.document) == (kind, counts, None)


@pytest.mark.parametrize(
    "body", ["exit 3", "kill -9 $$", "cat > /dev/null; echo '[{\"request'", "cat > /dev/null"]
)
def test_a_plugin_that_breaks_counts_against_nobody(
    device: Device, tmp_path: Path, settings: Any, body: str
) -> None:
    install(tmp_path, settings, f"#!/bin/sh\n{body}\n")
    (report,) = poll(leased(device))
    assert (report.kind, report.is_counting) == (VerdictKind.PLUGIN_ERROR, False)


def test_a_secret_no_key_opens_takes_the_device_off_with_the_reason(device: Device) -> None:
    CredentialProfile.objects.update(encrypted_payload="damaged")
    (report,) = poll(leased(device))
    assert (report.kind, report.attempted) == (VerdictKind.PLUGIN_ERROR, False)
    device.refresh_from_db()
    assert device.status == DeviceStatus.ERROR
    assert "cannot be decrypted" in device.status_reason
    assert PollState.objects.get(device=device).next_poll_at is None


def test_a_worker_that_lacks_the_keys_of_the_others_takes_nobody_off(device: Device) -> None:
    beat = Beat("host", 1, ["poll.0"], threads=1, busy=1, done=0, load=0.0, memory_bytes=0, key_ids=["other"])
    beat_write("another", beat)
    CredentialProfile.objects.update(encrypted_payload="under the other's key")
    (report,) = poll(leased(device))
    assert (report.kind, report.attempted, report.is_counting) == (VerdictKind.PLUGIN_ERROR, False, False)
    assert "start it again" in report.error
    device.refresh_from_db()
    assert device.status == DeviceStatus.ACTIVE


def test_a_worker_that_lacks_a_plugin_of_the_others_takes_nobody_off(device: Device, settings: Any) -> None:
    beat = Beat("host", 1, ["poll.0"], 1, busy=1, done=0, load=0.0, memory_bytes=0, plugin_ids=["winrm"])
    beat_write("another", beat)
    settings.NMS_PLUGINS_DIR = Path("/nonexistent")
    (report,) = poll(leased(device))
    assert (report.kind, report.is_counting) == (VerdictKind.PLUGIN_ERROR, False)
    assert "not installed on this worker" in report.error
    device.refresh_from_db()
    assert device.status == DeviceStatus.ACTIVE


def test_a_plugin_that_is_gone_takes_the_device_off_with_the_reason(device: Device, settings: Any) -> None:
    settings.NMS_PLUGINS_DIR = Path("/nonexistent")
    (report,) = poll(leased(device))
    assert report.kind == VerdictKind.PLUGIN_ERROR
    device.refresh_from_db()
    assert (device.status, "'winrm' is not installed" in device.status_reason) == ("error", True)


def test_no_message_holds_a_credential(device: Device) -> None:
    slot = leased(device)
    ping_slots([slot])
    queues: list[Any] = [redis_client().lrange(name, 0, -1) for name in ("poll.0", "poll.1")]
    (raw,) = queues[0] + queues[1]
    assert b"s3cret" not in raw + base64.b64decode(json.loads(raw)["body"])


REMEMBERING = """#!/usr/bin/env python3
import json, sys
results = []
for task in json.load(sys.stdin):
    known = task["remembered"]
    result = {"request_id": task["request_id"], "success": True, "data": known}
    if not known:
        result["remember"] = {"host_key": "key-1", "other": "x" * 10}
    results.append(result)
print(json.dumps(results))
"""


def test_what_a_plugin_remembers_is_kept_with_the_device_and_sent_again(
    device: Device, tmp_path: Path, settings: Any
) -> None:
    install(tmp_path, settings, REMEMBERING)
    (first,) = poll(leased(device))
    assert first.document == "{}"
    device.refresh_from_db()
    assert device.remembered == {"host_key": "key-1", "other": "x" * 10}
    PollState.objects.filter(device=device).update(
        lease_due_at=None, leased_until=None, next_poll_at=database_now()
    )
    (second,) = poll(leased(device))
    assert json.loads(second.document or "") == device.remembered
