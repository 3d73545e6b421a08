"""A greenlet that never waits is ended; one that waits, and a process that is stopped, are not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
SCRIPT = """
from gevent import monkey; monkey.patch_all()
import gevent, json, sys, time
from plugins.winrm.busy_guard import BusyGuard, KeptBusy, working_for_a_host

ended = {}
def run(name, function):
    try:
        with working_for_a_host():
            function()
        ended[name] = "in peace"
    except KeptBusy:
        ended[name] = "kept busy"

def busy():
    while True: sum(range(1000))
def waiting():
    for _ in range(40): gevent.sleep(0.1)

def short():
    began = time.process_time()
    while time.process_time() - began < 0.3: pass

with BusyGuard(busy_seconds=1.0):
    print("ready", flush=True)
    gevent.joinall([gevent.spawn(run, name, function) for name, function in FUNCTIONS])
print(json.dumps(ended))
"""


def start(functions: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.replace("FUNCTIONS", functions)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )


def test_a_greenlet_that_never_waits_is_ended_and_the_others_go_on() -> None:
    with start("[('busy', busy), ('waiting', waiting)]") as process:
        output, _ = process.communicate(timeout=60)
    assert json.loads(output.splitlines()[1]) == {"busy": "kept busy", "waiting": "in peace"}


def test_many_greenlets_may_be_busy_in_one_turn() -> None:
    """All of them are due at once, and together they use more than one alone may."""
    with start("[(str(n), short) for n in range(12)]") as process:
        output, _ = process.communicate(timeout=60)
    assert set(json.loads(output.splitlines()[1]).values()) == {"in peace"}


def test_time_in_which_the_process_is_stopped_does_not_count() -> None:
    with start("[('waiting', waiting)]") as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.5)
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        output, _ = process.communicate(timeout=60)
    assert json.loads(output) == {"waiting": "in peace"}
