"""Sessions kept between polls: what they cost, when they are renewed, and that nothing is left on a host."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from plugins.winrm import session
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.host import SLOW_SECONDS, Fault
from plugins.winrm.tests.conftest import PLUGIN, poll_all, poll_ok, task
from polling.runner import environment
from polling.stream import StreamRunner

pytestmark = pytest.mark.slow
# (round trips, PowerShells started) of a poll in steady state
COSTS = {"powershell": (2, 0), "powershell_process": (3, 1), "cim": (9, 0)}


@contextmanager
def streaming() -> Iterator[Any]:
    """Run the plugin in stream mode as a child of the test."""
    with subprocess.Popen(
        [str(PLUGIN.executable), "--stream"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        yield process


def send(process: Any, line: str) -> None:
    process.stdin.write(line.encode() + b"\n")
    process.stdin.flush()


@pytest.mark.parametrize("way", COSTS)
def test_what_a_poll_costs_in_steady_state(simulator: Simulator, runner: StreamRunner, way: str) -> None:
    addresses = simulator.config.addresses()[:6]
    poll_ok(runner, addresses, collect=way)
    before = simulator.counters()
    for _ in range(5):
        poll_ok(runner, addresses, collect=way)
    after = simulator.counters()
    polls = 5 * len(addresses)
    assert after["logins"] == before["logins"]
    assert after["shells_opened"] == before["shells_opened"]
    requests, processes = COSTS[way]
    assert after["requests"] - before["requests"] == requests * polls
    assert after["processes"] - before["processes"] == processes * polls


def test_every_shell_is_deleted_at_the_end(simulator: Simulator) -> None:
    runner = StreamRunner(PLUGIN, in_flight=100, silence_seconds=30)
    before = simulator.counters()
    poll_ok(runner, simulator.config.addresses())
    runner.close()
    after = simulator.counters()
    opened = after["shells_opened"] - before["shells_opened"]
    assert opened == after["shells_closed"] - before["shells_closed"] == len(simulator.config.addresses())


def test_sigterm_in_the_middle_deletes_the_shells(simulator: Simulator) -> None:
    address = simulator.config.addresses()[0]
    before = simulator.counters()
    with streaming() as process:
        send(process, json.dumps(task(address)))
        assert json.loads(process.stdout.readline())["success"]
        simulator.set_faults({address: Fault.SLOW})
        send(process, json.dumps(task(address)))
        process.terminate()
        assert process.wait(10) == 0
    after = simulator.counters()
    assert (
        after["shells_opened"] - before["shells_opened"] == after["shells_closed"] - before["shells_closed"]
    )


def test_the_end_of_the_host_deletes_the_shells(simulator: Simulator) -> None:
    """As after SIGKILL of a worker: all pipes break at once, with a poll under way and another shell idle."""
    idle, slow = simulator.config.addresses()[:2]
    before = simulator.counters()
    with streaming() as process:
        for address in (idle, slow):
            send(process, json.dumps(task(address)))
            assert json.loads(process.stdout.readline())["success"]
        simulator.set_faults({slow: Fault.SLOW})
        send(process, json.dumps(task(slow)))
        for pipe in (process.stdout, process.stderr, process.stdin):
            assert pipe
            pipe.close()
        assert process.wait(20) == 0
    after = simulator.counters()
    assert after["shells_opened"] - before["shells_opened"] == 2
    assert after["shells_closed"] - before["shells_closed"] == 2


def test_sigterm_gives_up_a_task_that_is_read_at_that_moment() -> None:
    with socket.create_server(("127.20.9.1", 0)) as silent:
        last = {**task("127.20.9.1"), "port": silent.getsockname()[1]}
        with streaming() as process:
            send(process, "{}")
            assert process.stdout.readline()  # it is up
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            send(process, json.dumps(last))
            process.terminate()
            process.send_signal(signal.SIGCONT)
            assert process.wait(last["timeout_seconds"] / 2) == 0


@pytest.mark.parametrize("way", ["powershell", "powershell_process"])
def test_a_poll_that_times_out_deletes_its_shell(
    simulator: Simulator, runner: StreamRunner, way: str
) -> None:
    address = simulator.config.addresses()[0]
    poll_ok(runner, [address], collect=way)
    simulator.set_faults({address: Fault.SLOW})
    (result,) = poll_all(runner, [address], timeout=1, collect=way)
    assert result.error_code == "timeout"
    # The next one begins afresh: nothing of the late answer is left to it.
    simulator.set_faults({address: Fault.NONE})
    poll_ok(runner, [address], collect=way)
    runner.close()
    counters = simulator.counters(address)
    assert counters["shells_opened"] == counters["shells_closed"]


def test_a_lost_connection_is_rebuilt_without_a_failed_poll(
    simulator: Simulator, runner: StreamRunner
) -> None:
    address = simulator.config.addresses()[0]
    poll_ok(runner, [address])
    before = simulator.counters(address)
    simulator.set_faults({address: Fault.GONE})
    simulator.set_faults({address: Fault.NONE})
    poll_ok(runner, [address])
    after = simulator.counters(address)
    assert after["logins"] == before["logins"] + 1
    assert after["shells_opened"] == before["shells_opened"]
    assert after["processes"] == before["processes"]


@pytest.mark.parametrize("way", ["powershell", "powershell_process"])
def test_a_lost_shell_is_opened_again_without_a_failed_poll(
    simulator: Simulator, runner: StreamRunner, way: str
) -> None:
    address = simulator.config.addresses()[1]
    poll_ok(runner, [address], collect=way)
    before = simulator.counters(address)
    simulator.set_faults({address: Fault.SHELLS_LOST})
    simulator.set_faults({address: Fault.NONE})
    poll_ok(runner, [address], collect=way)
    assert simulator.counters(address)["shells_opened"] == before["shells_opened"] + 1


def test_a_shell_is_recycled_before_its_operations_are_used_up(
    simulator: Simulator, runner: StreamRunner
) -> None:
    """Windows gives none back: a shell dies after 1,500."""
    address = simulator.config.addresses()[2]
    before = simulator.counters(address)
    for _ in range(session.MAX_COMMANDS_PER_SHELL + 2):
        poll_ok(runner, [address], collect="powershell_process")
    after = simulator.counters(address)
    assert after["shells_opened"] == before["shells_opened"] + 2
    assert after["shells_closed"] == before["shells_closed"] + 1


def test_a_host_whose_quota_is_used_up_is_left_alone(simulator: Simulator, runner: StreamRunner) -> None:
    address = simulator.config.addresses()[3]
    simulator.set_faults({address: Fault.QUOTA})
    (first,) = poll_all(runner, [address])
    before = simulator.counters(address)["requests"]
    (second,) = poll_all(runner, [address])
    assert (first.error_code, second.error_code) == ("quota", "quota")
    assert "not asked" in second.error
    assert simulator.counters(address)["requests"] == before


def test_a_host_too_slow_for_two_readings_is_read_once(simulator: Simulator, runner: StreamRunner) -> None:
    address = simulator.config.addresses()[10]
    simulator.set_faults({address: Fault.SLOW})
    timeout = 2 * SLOW_SECONDS - 1  # too short for two readings, and long for one
    (first,) = poll_all(runner, [address], timeout=timeout)
    (second,) = poll_all(runner, [address], timeout=timeout)
    (third,) = poll_all(runner, [address], timeout=timeout)
    assert first.error_code == "timeout"
    assert second.success, second.error
    assert '"cpu"' not in str(second.data)
    assert '"cpu"' in str(third.data)


def test_sessions_of_hosts_that_are_not_polled_are_closed(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, where the idle time can be short."""
    script = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import gevent, json, sys\n"
        "from plugins.kit.tasks import parse_task\n"
        "from plugins.winrm.cache import SessionCache\n"
        "from plugins.winrm import cache as module\n"
        "from plugins.winrm.collector import Collector\n"
        "module.SWEEP_SECONDS = 0.1\n"
        "cache = SessionCache(idle_seconds=0.3)\n"
        "gevent.spawn(cache.sweep)\n"
        "assert Collector(cache).work(parse_task(json.load(sys.stdin), 'poll'))['success']\n"
        "gevent.sleep(1.5)\n"
    )
    address = simulator.config.addresses()[4]
    before = simulator.counters(address)
    started = time.monotonic()
    subprocess.run(
        [environment()["PATH"].split(":")[0] + "/python", "-c", script],
        input=json.dumps(task(address)).encode(),
        check=True,
        timeout=30,
        cwd=PLUGIN.executable.parents[2] if PLUGIN.executable else None,
    )
    after = simulator.counters(address)
    assert time.monotonic() - started < 20
    assert (
        after["shells_closed"] - before["shells_closed"]
        == after["shells_opened"] - before["shells_opened"]
        == 1
    )


def test_the_least_recently_used_goes_when_there_are_too_many(simulator: Simulator) -> None:
    script = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import gevent, json, sys\n"
        "from plugins.kit.tasks import parse_task\n"
        "from plugins.winrm.cache import SessionCache\n"
        "from plugins.winrm.collector import Collector\n"
        "collector = Collector(SessionCache(max_sessions=2))\n"
        "for item in json.load(sys.stdin):\n"
        "    assert collector.work(parse_task(item, 'poll'))['success']\n"
        "gevent.sleep(0.5)\n"
        "print(len(collector.cache._keep))\n"
    )
    addresses = simulator.config.addresses()[5:9]
    before = simulator.counters()
    done = subprocess.run(
        [environment()["PATH"].split(":")[0] + "/python", "-c", script],
        input=json.dumps([task(address) for address in addresses]).encode(),
        capture_output=True,
        check=True,
        timeout=30,
        cwd=PLUGIN.executable.parents[2] if PLUGIN.executable else None,
    )
    after = simulator.counters()
    assert int(done.stdout) == 2
    assert after["shells_closed"] - before["shells_closed"] >= 2
