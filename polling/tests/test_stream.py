"""Stream mode: one process for many threads; late, dead, silent and talkative plugins."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from plugins.contract import ErrorCode, Result, Task
from plugins.registry import Plugin
from polling.errors import RunnerClosed
from polling.stream import StreamRunner
from polling.tests.conftest import PluginMaker

LOOP = """#!/usr/bin/env python3
import json, os, sys, threading, time
lock = threading.Lock()
def say(task, **fields):
    with lock:
        print(json.dumps({"request_id": task["request_id"], "success": True, "data": {}, **fields}),
        flush=True)
for line in sys.stdin:
    task = json.loads(line)
    credentials = task["credentials"]
"""
ANSWER = LOOP + "    say(task, data={'pid': os.getpid()})\n"

Start = Callable[..., StreamRunner]


@pytest.fixture
def start() -> Iterator[Start]:
    runners: list[StreamRunner] = []

    def make(
        plugin: Plugin, *, in_flight: int = 100, silence: float = 30, pause: float = 0.5
    ) -> StreamRunner:
        runners.append(
            StreamRunner(plugin, in_flight=in_flight, silence_seconds=silence, back_off_seconds=[pause])
        )
        return runners[-1]

    yield make
    for runner in runners:
        runner.close()


def task(name: str, *, timeout: float = 5, **credentials: object) -> Task:
    return Task(name, "127.0.0.1", 1, credentials, timeout)


def run(runner: StreamRunner, given: Sequence[Task], *, within: float = 30) -> dict[str, Result]:
    answers = [result for batch in runner.run(given, start_within_seconds=within) for result in batch]
    assert len(answers) == len({answer.request_id for answer in answers})
    return {answer.request_id: answer for answer in answers}


def test_many_threads_share_one_process(make_plugin: PluginMaker, start: Start) -> None:
    runner = start(make_plugin(ANSWER), in_flight=10)
    answers: dict[str, Result] = {}

    def work(number: int) -> None:
        answers.update(run(runner, [task(f"{number}-{index}") for index in range(50)]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 400
    assert len({answer.data for answer in answers.values()}) == 1


def test_a_slow_host_delays_nobody(make_plugin: PluginMaker, start: Start) -> None:
    source = LOOP + "    threading.Timer(credentials.get('pause', 0), say, [task]).start()\n"
    runner = start(make_plugin(source))
    batches = list(runner.run([task("slow", pause=2.5), task("fast")], start_within_seconds=5))
    assert [[answer.request_id for answer in batch] for batch in batches] == [["fast"], ["slow"]]


def test_an_unanswered_task_is_the_plugins_fault_and_the_process_lives(
    make_plugin: PluginMaker, start: Start
) -> None:
    runner = start(
        make_plugin(LOOP + "    if task['request_id'] != 'mute': say(task, data={'pid': os.getpid()})\n")
    )
    before = run(runner, [task("before")])["before"]
    answers = run(runner, [task("mute", timeout=0.2), task("loud")])
    assert answers["mute"].error_code == ErrorCode.INTERNAL
    assert answers["loud"].data == before.data == run(runner, [task("after")])["after"].data


def test_answers_already_read_are_kept_when_it_dies(make_plugin: PluginMaker, start: Start) -> None:
    source = LOOP + (
        "    if task['request_id'] == 'bomb':\n"
        "        print('out of luck', file=sys.stderr, flush=True); time.sleep(0.3); os._exit(7)\n"
        "    say(task)\n"
    )
    answers = run(start(make_plugin(source)), [task("good"), task("bomb"), task("never")])
    assert answers["good"].success
    for name in ("bomb", "never"):
        assert answers[name].error_code is ErrorCode.INTERNAL
        assert "exit code 7: out of luck" in answers[name].error


def test_it_is_started_again_after_a_pause(make_plugin: PluginMaker, start: Start, tmp_path: Path) -> None:
    once = tmp_path / "once"
    source = LOOP + f"    if not os.path.exists('{once}'): open('{once}', 'w'); os._exit(1)\n    say(task)\n"
    runner = start(make_plugin(source), pause=4)
    assert run(runner, [task("first")])["first"].error_code is ErrorCode.INTERNAL
    second = run(runner, [task("second")])["second"]
    assert "is started again in" in second.error
    time.sleep(4.2)
    assert run(runner, [task("third")])["third"].success


def test_one_that_says_nothing_is_killed(make_plugin: PluginMaker, start: Start) -> None:
    runner = start(make_plugin("#!/bin/sh\nexec sleep 300\n"), silence=0.5)
    started = time.monotonic()
    answer = run(runner, [task("a", timeout=20)])["a"]
    assert time.monotonic() - started < 5
    assert answer.error_code is ErrorCode.INTERNAL


def test_a_quiet_time_between_two_tasks_is_no_silence(make_plugin: PluginMaker, start: Start) -> None:
    runner = start(make_plugin(LOOP + "    time.sleep(0.5); say(task)\n"), silence=3)
    for name in ("a", "b"):
        assert run(runner, [task(name)])[name].success
        time.sleep(3.2)


def test_one_that_lets_everything_time_out_is_killed_in_the_end(
    make_plugin: PluginMaker, start: Start
) -> None:
    runner = start(make_plugin("#!/bin/sh\nexec sleep 300\n"), silence=1)
    answers = [run(runner, [task(f"t{n}", timeout=-1.7)])[f"t{n}"] for n in range(6)]
    assert "did not answer in time" in answers[0].error
    assert any("exit code" in answer.error for answer in answers)


def test_one_that_leaves_its_output_open_is_started_again(
    make_plugin: PluginMaker, start: Start, tmp_path: Path
) -> None:
    left, first = tmp_path / "left", tmp_path / "first"
    body = (
        "    import pathlib, subprocess\n"
        f"    if not pathlib.Path({str(first)!r}).exists():\n"
        f"        pathlib.Path({str(first)!r}).touch()\n"
        "        helper = subprocess.Popen(['sleep', '300'], start_new_session=True)\n"
        f"        pathlib.Path({str(left)!r}).write_text(str(helper.pid))\n"
        "        os._exit(3)\n"
        "    say(task)\n"
    )
    runner = start(make_plugin(LOOP + body), pause=0.1)
    try:
        answer = run(runner, [task("a", timeout=20)])["a"]
        assert (answer.error_code, answer.was_attempted) == (ErrorCode.INTERNAL, True)
        assert "exit code 3" in answer.error
        time.sleep(0.2)  # the pause before the next start, twice
        assert run(runner, [task("b", timeout=20)])["b"].success
    finally:
        os.kill(int(left.read_text()), signal.SIGKILL)


def test_a_document_nested_too_deeply_costs_that_device_only(make_plugin: PluginMaker, start: Start) -> None:
    body = (
        "    if task['request_id'] == 'good': say(task); continue\n"
        "    deep = '[' * 300 + ']' * 300\n"
        '    print(\'{"request_id": "deep", "success": true, "data": {"a": \' + deep + \'}}\', flush=True)\n'
    )
    answers = run(start(make_plugin(LOOP + body)), [task("deep"), task("good")])
    assert "nested too deeply" in answers["deep"].error
    assert answers["good"].success


def test_lines_that_are_no_results_are_passed_over(make_plugin: PluginMaker, start: Start) -> None:
    noise = "    print('banner'); print('{}'); print('[1]'); print('{\"request_id\": \"x\"}')\n"
    answers = run(start(make_plugin(LOOP + noise + "    say(task); say(task)\n")), [task("a"), task("b")])
    assert all(answer.success for answer in answers.values())


def test_a_line_without_end_ends_the_process(make_plugin: PluginMaker, start: Start) -> None:
    source = LOOP + "    sys.stdout.write('x' * 100_000_000); sys.stdout.flush(); time.sleep(60)\n"
    assert run(start(make_plugin(source)), [task("a", timeout=20)])["a"].error_code is ErrorCode.INTERNAL


def test_a_plugin_that_reads_nothing_blocks_nobody(make_plugin: PluginMaker, start: Start) -> None:
    runner = start(make_plugin("#!/bin/sh\nexec sleep 300\n"))
    answers = run(runner, [task(f"t{n}", timeout=0.5, pad="x" * 50_000) for n in range(50)])
    assert {answer.error_code for answer in answers.values()} == {ErrorCode.INTERNAL}


def test_tasks_that_cannot_start_in_time_get_no_answer(make_plugin: PluginMaker, start: Start) -> None:
    runner = start(make_plugin("#!/bin/sh\nexec sleep 300\n"), in_flight=1)
    answers = run(runner, [task("a", timeout=0.5), task("b")], within=1)
    assert list(answers) == ["a"]


def test_closing_ends_the_process_and_those_who_wait(make_plugin: PluginMaker, start: Start) -> None:
    runner = start(make_plugin("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n"))
    threading.Timer(0.5, runner.close).start()
    started = time.monotonic()
    with pytest.raises(RunnerClosed):
        run(runner, [task("a", timeout=60)])
    assert time.monotonic() - started < 20


def test_eof_is_enough_for_a_good_plugin(make_plugin: PluginMaker, start: Start, tmp_path: Path) -> None:
    end = tmp_path / "end"
    runner = start(make_plugin(ANSWER + f"open('{end}', 'w')\n"))
    run(runner, [task("a")])
    runner.close()
    assert end.exists()


def test_nul_and_surrogates_are_replaced(make_plugin: PluginMaker, start: Start) -> None:
    raw = r'{"a": "x\u0000y", "b": "\ud800", "c": "\ud83d\ude00", "d": "\\u0000"}'
    source = (
        LOOP
        + f'    print(\'{{"request_id": "a", "success": true, "data": \' + {raw!r} + \'}}\', flush=True)\n'
    )
    data = run(start(make_plugin(source)), [task("a")])["a"].data
    assert data == '{"a":"x\ufffdy","b":"\ufffd","c":"\U0001f600","d":"\\\\u0000"}'
