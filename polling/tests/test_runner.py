"""Batch mode: plugins that work, and plugins that do what they should not."""

import os
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from plugins.contract import ErrorCode, Operation, Result, Task
from plugins.registry import Plugin
from polling.errors import RunnerClosed
from polling.runner import BatchRunner, await_exit
from polling.tests.conftest import PluginMaker

ECHO = """#!/usr/bin/env python3
import json, sys
tasks = json.load(sys.stdin)
answers = [
    {"request_id": task["request_id"], "success": True, "data": {"port": task["port"]}} for task in tasks
]
print(json.dumps(answers))
"""


def tasks(count: int = 2, *, timeout: float = 5, operation: Operation = Operation.POLL) -> list[Task]:
    return [
        Task(f"r{number}", "127.0.0.1", number + 1, {"password": "s3cret"}, timeout, number, operation)
        for number in range(count)
    ]


def run(plugin: Plugin, given: Sequence[Task]) -> dict[str, Result]:
    answers = [result for batch in BatchRunner(plugin).run(given, start_within_seconds=5) for result in batch]
    assert len(answers) == len({answer.request_id for answer in answers}) == len(given)
    return {answer.request_id: answer for answer in answers}


def test_answers_are_matched_by_request_id(make_plugin: PluginMaker) -> None:
    answers = run(make_plugin(ECHO), tasks(3))
    assert [answers[f"r{number}"].data for number in range(3)] == [
        '{"port":1}',
        '{"port":2}',
        '{"port":3}',
    ]


def test_no_task_starts_nothing(make_plugin: PluginMaker) -> None:
    assert run(make_plugin("not even a program"), []) == {}


def test_discovery_is_an_argument(make_plugin: PluginMaker) -> None:
    source = ECHO.replace('"data"', '"hostname": " ".join(sys.argv[1:]), "data"')
    answers = run(make_plugin(source), tasks(1, operation=Operation.DISCOVERY))
    assert answers["r0"].hostname == "-discovery"


def test_a_large_batch_does_not_block_on_full_pipes(make_plugin: PluginMaker) -> None:
    source = ECHO.replace('{"port": task["port"]}', '{"pad": "x" * 2000}')
    assert len(run(make_plugin(source), tasks(5_000))) == 5_000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("cat > /dev/null; echo '[{'", "not valid JSON"),
        ("cat > /dev/null", "not valid JSON"),
        ("cat > /dev/null; echo '{}'", "not an array"),
        ("cat > /dev/null; echo '[]'; echo broken >&2; exit 3", "exit code 3: broken"),
        ("exit 0", "not valid JSON"),
        ("cat > /dev/null; kill -9 $$", "exit code -9"),
        ('cat > /dev/null; echo \'[{"request_id":"r0","success":true,"data":NaN}]\'', "not valid JSON"),
    ],
)
def test_a_broken_plugin_is_the_plugins_fault(make_plugin: PluginMaker, body: str, words: str) -> None:
    for answer in run(make_plugin(f"#!/bin/sh\n{body}\n"), tasks()).values():
        assert (answer.success, answer.error_code) == (False, ErrorCode.INTERNAL)
        assert words in answer.error


def test_a_device_missing_from_a_valid_answer_is_no_plugin_fault(make_plugin: PluginMaker) -> None:
    answers = run(make_plugin(ECHO.replace("for task in tasks", "for task in tasks[1:]")), tasks())
    assert answers["r0"].error_code is ErrorCode.PROTOCOL
    assert answers["r1"].success


def test_one_that_never_ends_is_killed_with_all_its_children(
    make_plugin: PluginMaker, tmp_path: Path
) -> None:
    pid_file = tmp_path / "child"
    plugin = make_plugin(f"#!/bin/sh\nsleep 300 & echo $! > {pid_file}\nwait\n")
    started = time.monotonic()
    answers = run(plugin, tasks(timeout=0.5))
    assert time.monotonic() - started < 5
    assert "did not end within" in answers["r0"].error
    assert not _is_running(int(pid_file.read_text()))


def test_what_a_good_plugin_leaves_behind_is_killed_too(make_plugin: PluginMaker, tmp_path: Path) -> None:
    pid_file = tmp_path / "child"
    source = f"#!/bin/sh\nsleep 300 > /dev/null 2>&1 & echo $! > {pid_file}\ncat > /dev/null\necho '[]'\n"
    run(make_plugin(source), tasks(1))
    assert not _is_running(int(pid_file.read_text()))


def test_100_mb_of_output_is_cut_short(make_plugin: PluginMaker) -> None:
    answers = run(make_plugin("#!/bin/sh\ncat > /dev/null\nhead -c 100000000 /dev/zero\n"), tasks())
    assert "more than 64 MiB" in answers["r0"].error


def test_secrets_travel_on_stdin_only(make_plugin: PluginMaker, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    run(make_plugin(f"#!/bin/sh\ncat > /dev/null\n(env; echo \"$0 $@\") > {seen}\necho '[]'\n"), tasks(1))
    text = seen.read_text()
    assert "s3cret" not in text
    assert os.environ["NMS_SECRET_KEY"] not in text
    assert os.environ["NMS_ENCRYPTION_KEYS"] not in text


def test_an_executable_that_vanished_is_the_plugins_fault(make_plugin: PluginMaker) -> None:
    plugin = make_plugin(ECHO)
    assert plugin.executable is not None
    plugin.executable.unlink()
    assert "cannot be started" in run(plugin, tasks(1))["r0"].error


def test_a_document_of_a_megabyte_costs_that_device_only(make_plugin: PluginMaker) -> None:
    source = ECHO.replace('{"port": task["port"]}', '{"pad": "x" * (1000000 if task["port"] == 1 else 10)}')
    answers = run(make_plugin(source), tasks())
    assert "more than 256 KiB" in answers["r0"].error
    assert answers["r1"].success


def test_a_document_of_a_hundred_thousand_values_costs_that_device_only(make_plugin: PluginMaker) -> None:
    source = ECHO.replace(
        '{"port": task["port"]}', '{"list": [[7, "a,b"]] * (10001 if task["port"] == 1 else 10000)}'
    )
    answers = run(make_plugin(source), tasks())
    assert "has 20,002 values, more than 20,000" in answers["r0"].error
    assert answers["r1"].success


def _is_running(pid: int) -> bool:
    """After two seconds at the most: a killed process needs a moment to be gone."""
    for _ in range(40):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True


def test_closing_ends_a_batch_under_way(make_plugin: PluginMaker) -> None:
    runner = BatchRunner(make_plugin("#!/bin/sh\nsleep 300\n"))
    threading.Timer(0.5, runner.close).start()
    started = time.monotonic()
    with pytest.raises(RunnerClosed):
        list(runner.run(tasks(timeout=60), start_within_seconds=5))
    assert time.monotonic() - started < 20


def test_waiting_for_a_process_that_another_thread_has_just_reaped() -> None:
    process = subprocess.Popen(["true"])
    os.waitpid(process.pid, 0)
    assert process.returncode is None
    assert await_exit(process, lambda: False)
    process.wait()
