"""How often logins are tried: limits for each account, tries under way, and what sets an account free."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nms_project.redis_client import redis_client
from plugins.contract import ErrorCode, Result, Task, failed
from plugins.registry import Plugin
from plugins.tests.process import PLUGINS
from polling import dispatch, logins, runners
from polling.dispatch import tasks_run
from polling.logins import Admission, logins_settle
from polling.tests.conftest import PluginMaker

# Accepts the password "right"; anything else is refused. Each try is written down.
PLUGIN = """#!/usr/bin/env python3
import json, sys
results = []
for task in json.load(sys.stdin):
    with open("{log}", "a") as log:
        log.write(task["target"] + "\\n")
    answer = {{"success": False, "error_code": "auth", "error": "no"}}
    if task["credentials"]["password"] == "right":
        answer = {{"success": True, "data": {{"a": 1}}}}
    results.append({{"request_id": task["request_id"], "target": task["target"], "port": 1, **answer}})
print(json.dumps(results))
"""


def task(number: int, *, target: str = "10.0.0.1", timeout: float = 5, **credentials: Any) -> Task:
    return Task(str(number), target, 1, {"username": "monitor", "password": "wrong", **credentials}, timeout)


def tasks(count: int, **credentials: Any) -> list[Task]:
    """On as many hosts."""
    return [task(number, target=f"10.0.0.{number}", **credentials) for number in range(count)]


LOCKING = PLUGINS["winrm"]


@pytest.fixture(autouse=True)
def _fresh_worker() -> None:
    logins._seen.clear()


def admit(wanted: list[Task], plugin: Plugin = LOCKING) -> Admission:
    return logins.logins_admit(plugin, wanted)


def refuse(*refused: Task) -> None:
    results = [failed(task.request_id, ErrorCode.AUTH, "no") for task in refused]
    logins_settle(LOCKING, {task.request_id: task for task in refused}, results)


def accept(accepted: Task) -> None:
    logins_settle(LOCKING, {accepted.request_id: accepted}, [Result(accepted.request_id, True)])


def test_an_account_is_left_alone_after_as_many_refusals() -> None:
    for number in range(3):
        (go,) = admit([task(number)]).go
        refuse(go)
    admission = admit([task(9)])
    assert (admission.go, admission.wait) == ([], [])
    assert 890 < admission.paused["9"] <= 901


def test_tries_under_way_count_until_they_are_known() -> None:
    admission = admit([task(number) for number in range(5)])
    assert (len(admission.go), len(admission.wait)) == (3, 2)
    logins_settle(LOCKING, {"0": task(0)}, [failed("0", ErrorCode.TIMEOUT, "late")])
    assert len(admit([task(9)]).go) == 1


def test_tries_that_were_not_made_are_under_way_no_longer() -> None:
    """A plugin that pauses after a crash says so of some; others could not start in time."""
    wanted = tasks(3, domain="CORP")
    for results in (
        [failed(task.request_id, ErrorCode.INTERNAL, "", was_attempted=False) for task in wanted],
        [],
    ):
        assert admit(wanted).go == wanted
        logins_settle(LOCKING, {task.request_id: task for task in wanted}, results)
    assert admit(tasks(9, domain="CORP")[6:]).go


def test_tasks_that_no_runner_answered_were_not_tried() -> None:
    wanted = tasks(3, domain="CORP")
    assert admit(wanted).go == wanted
    assert list(dispatch._settled(LOCKING, {task.request_id: task for task in wanted}, iter([[]]))) == []
    assert admit(tasks(9, domain="CORP")[6:]).go


def test_tries_of_a_worker_that_died_are_forgotten() -> None:
    admit([task(number, timeout=0.1) for number in range(3)])
    keys: Any = redis_client().keys("nms:logins:*:pending")
    assert redis_client().ttl(keys[0]) <= 11


def test_each_host_has_accounts_of_its_own() -> None:
    refuse(*(task(number) for number in range(3)))
    assert admit([task(9, target="10.0.0.2")]).go
    assert admit([task(8, username="another")]).go


@pytest.mark.parametrize(
    "credentials",
    [
        {"domain": "CORP"},
        {"username": "CORP\\monitor"},
        {"username": "corp\\Monitor", "domain": "ignored"},
        {"username": "monitor@corp.example"},
        {"domain": "corp.example", "username": " Monitor "},
    ],
)
def test_a_domain_has_one_account_for_all_hosts_however_it_is_spelt(credentials: dict[str, str]) -> None:
    admission = admit(tasks(250, **credentials))
    assert (len(admission.go), len(admission.wait)) == (3, 247)
    refuse(*admission.go)
    assert len(admit(admission.wait).paused) == 247
    assert admit([task(9, target="10.9.9.9", domain="CORP")]).paused


def test_the_domain_of_one_dot_is_the_host_itself() -> None:
    assert len(admit(tasks(250, username=".\\monitor")).go) == 250


def test_protocols_have_accounts_of_their_own_on_a_host() -> None:
    refuse(*(task(number) for number in range(3)))
    assert admit([task(9)]).paused
    assert admit([task(9)], PLUGINS["ssh"]).go


def test_what_locks_nothing_is_not_counted() -> None:
    wanted = [task(number) for number in range(9)]
    assert len(admit(wanted, PLUGINS["snmp"]).go) == 9
    assert not redis_client().keys("nms:logins:*")


def test_another_password_of_the_same_account_does_not_begin_anew() -> None:
    refuse(*(task(number) for number in range(3)))
    assert admit([task(9, password="another")]).paused


def test_a_secret_that_was_accepted_is_not_held_up() -> None:
    accept(task(1, domain="CORP"))
    assert len(admit(tasks(250, domain="CORP")).go) == 250
    assert len(admit(tasks(250, domain="CORP", password="another")).go) == 3


def test_a_worker_that_has_just_started_begins_with_a_few() -> None:
    """It has no sessions: a password that was changed meanwhile would be tried on all hosts at once."""
    accept(task(1, domain="CORP"))
    logins._seen.clear()
    admission = admit(tasks(250, domain="CORP"))
    assert (len(admission.go), len(admission.wait)) == (3, 247)


def test_hosts_that_never_took_the_secret_pause_no_others() -> None:
    """Three hosts outside the domain, or without the right to log in, among fifty that are well."""
    hosts = tasks(53, domain="CORP")
    for host in hosts[:50]:
        accept(host)
    for number in range(3):
        refuse(*(replace(host, request_id=f"{host.request_id}#{number}") for host in hosts[50:]))
    admission = admit(hosts)
    assert len(admission.go) == 50
    assert set(admission.paused) == {"50", "51", "52"}


def test_a_host_that_took_the_secret_and_refuses_it_takes_the_trust_away() -> None:
    hosts = tasks(250, domain="CORP")
    for host in hosts[:10]:
        accept(host)
    refuse(hosts[0])
    admission = admit(hosts)
    assert (len(admission.go), len(admission.wait)) == (2, 248)


def test_success_of_one_secret_wipes_no_refusals_of_another() -> None:
    wrong: dict[str, Any] = {"domain": "CORP", "password": "stale"}
    for number in range(3):
        refuse(task(number, target=f"10.1.0.{number}", **wrong))
        accept(task(9, domain="CORP"))
    assert admit([task(8, target="10.1.0.9", **wrong)]).paused


def test_accepted_sets_the_account_free() -> None:
    refuse(*(task(number) for number in range(3)))
    accept(task(8))
    assert admit([task(9)]).go


def test_a_missing_right_is_an_accepted_login() -> None:
    for number in range(5):
        denied = replace(failed(str(number), ErrorCode.AUTH, "access denied"), is_login_accepted=True)
        logins_settle(LOCKING, {str(number): task(number)}, [denied])
    assert admit([task(9)]).go


def test_refusals_are_forgotten_after_the_window(settings: Any) -> None:
    settings.NMS_LOGIN_WINDOW_SECONDS = 1
    refuse(*(task(number) for number in range(3)))
    assert admit([task(9)]).paused
    time.sleep(1.1)
    assert admit([task(9)]).go


def test_without_a_user_name_there_is_no_account_to_lock() -> None:
    anonymous = [Task(str(number), "10.0.0.1", 1, {"community": "public"}, 5) for number in range(9)]
    for one in anonymous:
        refuse(one)
    assert admit(anonymous).go == anonymous
    assert not redis_client().keys("nms:logins:*")


def test_neither_name_nor_secret_stands_in_redis() -> None:
    refuse(task(1, username="the-user", password="the-secret"))
    accept(task(2, username="the-user", password="the-secret"))
    keys: Any = redis_client().keys("*")
    kept = b" ".join(keys)
    assert b"nms:logins:" in kept
    assert b"the-user" not in kept
    assert b"the-secret" not in kept


@pytest.fixture
def tried(tmp_path: Path) -> Path:
    return tmp_path / "tried"


def run(make_plugin: PluginMaker, log: Path, wanted: list[Task], **options: Any) -> dict[str, Result]:
    plugin = make_plugin(PLUGIN.format(log=log), modes=("batch",))
    return run_plugin(plugin, wanted, **options)


def run_plugin(plugin: Plugin, wanted: list[Task], **options: Any) -> dict[str, Result]:
    runners._runners.clear()
    results = {
        result.request_id: result
        for found in tasks_run(plugin, wanted, **{"start_within_seconds": 20, **options})
        for result in found
    }
    runners._runners.clear()
    return results


def test_a_sweep_with_a_wrong_domain_password_stops_after_as_many_hosts(
    make_plugin: PluginMaker, tried: Path
) -> None:
    results = run(make_plugin, tried, tasks(250, domain="CORP"))
    assert len(tried.read_text().split()) == 3
    assert len(results) == 250
    assert {result.error_code for result in results.values()} == {ErrorCode.AUTH}
    assert sum(result.was_attempted for result in results.values()) == 3
    assert "not attempted" in results["249"].error


def test_a_right_one_goes_on_once_it_was_accepted(make_plugin: PluginMaker, tried: Path) -> None:
    results = run(make_plugin, tried, tasks(250, domain="CORP", password="right"))
    assert len(tried.read_text().split()) == 250
    assert all(result.success for result in results.values())


def test_a_person_may_always_try_and_success_sets_the_account_free(
    make_plugin: PluginMaker, tried: Path
) -> None:
    refuse(*(task(number, domain="CORP") for number in range(3)))
    right = task(7, domain="CORP", password="right")
    assert admit([right]).paused
    assert run(make_plugin, tried, [right], is_forced=True)["7"].success
    assert admit([right]).go


SILENT = """#!/usr/bin/env python3
import json, sys, threading, time
lock = threading.Lock()
def work(task):
    if task["target"] != "10.0.0.5":
        time.sleep(1)
    found = {"success": False, "error_code": "timeout", "error": "no answer"}
    if task["target"] == "10.0.0.5":
        found = {"success": True, "data": {}}
    with lock:
        print(json.dumps({"request_id": task["request_id"], **found}), flush=True)
for line in sys.stdin:
    threading.Thread(target=work, args=(json.loads(line),)).start()
"""


def test_a_batch_whose_first_hosts_hang_ends_in_time(make_plugin: PluginMaker) -> None:
    started = time.monotonic()
    results = run_plugin(make_plugin(SILENT), tasks(40, domain="CORP")[6:], start_within_seconds=1.5)
    assert time.monotonic() - started < 5
    assert 3 <= len(results) < 34


def test_a_host_that_hangs_holds_up_nobody(make_plugin: PluginMaker) -> None:
    """The third canary answers at once: the others go on while the first two still hang."""
    wanted = tasks(40, domain="CORP")
    wanted = [wanted[0], wanted[1], wanted[5], *wanted[6:]]
    started = time.monotonic()
    results = run_plugin(make_plugin(SILENT), wanted)
    assert len(results) == len(wanted)
    assert time.monotonic() - started < 4


def test_a_slot_that_was_not_attempted_does_not_count() -> None:
    from datetime import UTC, datetime

    from polling.models import VerdictKind
    from polling.slots import PingedSlot
    from polling.verdicts import poll_report

    now = datetime.now(UTC)
    result = failed("1", ErrorCode.AUTH, "not attempted: …", was_attempted=False)
    report = poll_report(PingedSlot(1, 1, None, None), result, started=now, arrived=now, duration_ms=1.0)
    assert (report.kind, report.attempted, report.is_counting) == (VerdictKind.AUTH_FAILED, False, False)
    assert json.dumps(report.to_message())
