"""How often logins are tried: limits for each account, tries under way, and what sets an account free."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from nms_project.redis_client import redis_client
from plugins.contract import ErrorCode, Result, Task, failed
from polling import runners
from polling.dispatch import tasks_run
from polling.logins import logins_admit, logins_settle
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


def refuse(*refused: Task) -> None:
    results = [failed(task.request_id, ErrorCode.AUTH, "no") for task in refused]
    logins_settle({task.request_id: task for task in refused}, results)


def accept(accepted: Task) -> None:
    logins_settle({accepted.request_id: accepted}, [Result(accepted.request_id, True)])


def test_an_account_is_left_alone_after_as_many_refusals() -> None:
    for number in range(3):
        (go,) = logins_admit([task(number)]).go
        refuse(go)
    admission = logins_admit([task(9)])
    assert (admission.go, admission.wait) == ([], [])
    assert 890 < admission.paused["9"] <= 901


def test_tries_under_way_count_until_they_are_known() -> None:
    admission = logins_admit([task(number) for number in range(5)])
    assert (len(admission.go), len(admission.wait)) == (3, 2)
    logins_settle({"0": task(0)}, [failed("0", ErrorCode.TIMEOUT, "late")])
    assert len(logins_admit([task(9)]).go) == 1


def test_tries_of_a_worker_that_died_are_forgotten() -> None:
    logins_admit([task(number, timeout=0.1) for number in range(3)])
    keys: Any = redis_client().keys("nms:logins:*:pending")
    assert redis_client().ttl(keys[0]) <= 11


def test_each_host_has_accounts_of_its_own() -> None:
    refuse(*(task(number) for number in range(3)))
    assert logins_admit([task(9, target="10.0.0.2")]).go
    assert logins_admit([task(8, username="another")]).go


@pytest.mark.parametrize(
    "credentials", [{"domain": "CORP"}, {"username": "CORP\\monitor"}, {"username": "monitor@corp.example"}]
)
def test_a_domain_has_one_account_for_all_hosts(credentials: dict[str, str]) -> None:
    admission = logins_admit(tasks(250, **credentials))
    assert (len(admission.go), len(admission.wait)) == (3, 247)
    refuse(*admission.go)
    assert len(logins_admit(admission.wait).paused) == 247


def test_another_password_of_the_same_account_does_not_begin_anew() -> None:
    refuse(*(task(number) for number in range(3)))
    assert logins_admit([task(9, password="another")]).paused


def test_a_secret_that_was_accepted_is_not_held_up() -> None:
    accept(task(1, domain="CORP"))
    assert len(logins_admit(tasks(250, domain="CORP")).go) == 250
    assert len(logins_admit(tasks(250, domain="CORP", password="another")).go) == 3


def test_accepted_sets_the_account_free_and_refused_takes_the_trust_away() -> None:
    refuse(*(task(number) for number in range(3)))
    accept(task(8))
    assert logins_admit([task(9)]).go
    refuse(task(9))
    admission = logins_admit([task(number) for number in range(10, 15)])
    assert (len(admission.go), len(admission.wait)) == (2, 3)


def test_refusals_are_forgotten_after_the_window(settings: Any) -> None:
    settings.NMS_LOGIN_WINDOW_SECONDS = 1
    refuse(*(task(number) for number in range(3)))
    assert logins_admit([task(9)]).paused
    time.sleep(1.1)
    assert logins_admit([task(9)]).go


def test_without_a_user_name_there_is_no_account_to_lock() -> None:
    anonymous = [Task(str(number), "10.0.0.1", 1, {"community": "public"}, 5) for number in range(9)]
    for one in anonymous:
        refuse(one)
    assert logins_admit(anonymous).go == anonymous
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
    runners._runners.clear()
    results = {
        result.request_id: result
        for found in tasks_run(plugin, wanted, start_within_seconds=20, **options)
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
    refuse(*(task(number) for number in range(3)))
    assert run(make_plugin, tried, [task(7, password="right")], is_forced=True)["7"].success
    assert logins_admit([task(9, password="right")]).go


def test_a_slot_that_was_not_attempted_does_not_count() -> None:
    from datetime import UTC, datetime

    from polling.models import VerdictKind
    from polling.slots import PingedSlot
    from polling.verdicts import poll_report

    now = datetime.now(UTC)
    result = failed("1", ErrorCode.AUTH, "not attempted: …", was_attempted=False)
    report = poll_report(PingedSlot(1, 1, None, None), result, started=now, arrived=now)
    assert (report.kind, report.attempted, report.is_counting) == (VerdictKind.AUTH_FAILED, False, False)
    assert json.dumps(report.to_message())
