"""WinRM for long: 10,000 polls over 500 hosts, then what is left of them; and the same, ended in the
middle.
"""

import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

from bench.measure import Report, resident_mib
from bench.plugin import ON_HOSTS_CORE, PluginBench, on_plugin_core
from bench.winrm import PASSWORD, PORT
from plugins.contract import Task
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from polling.errors import RunnerClosed

HOSTS = 500
ROUNDS = 20
FLAT_SHARE = 1.05  # memory at the end beside that at two thirds


def run() -> Report:
    config = FleetConfig(network="127.32.0.0/16", count=HOSTS, password=PASSWORD, latency_seconds=0.05)
    report = Report("winrm-soak", f"{HOSTS * ROUNDS:,} polls over {HOSTS} hosts in stream mode")
    with Simulator(config, command_prefix=ON_HOSTS_CORE) as simulator, on_plugin_core():
        _whole(report, simulator)
        _terminated(report, simulator)
    return report


def _tasks(simulator: Simulator) -> list[Task]:
    secret = {"username": "monitor", "password": PASSWORD}
    return [Task(address, address, PORT, secret, 20) for address in simulator.config.addresses()]


def _whole(report: Report, simulator: Simulator) -> None:
    tasks, start = _tasks(simulator), simulator.counters()
    bench = PluginBench("winrm", in_flight=HOSTS)
    memory, sockets, threads = [], [], []
    for _ in range(ROUNDS):
        bench.round(tasks)
        memory.append(resident_mib(bench.pid))
        sockets.append(len(list(Path(f"/proc/{bench.pid}/fd").iterdir())))
        threads.append(len(list(Path(f"/proc/{bench.pid}/task").iterdir())))
    pid = bench.pid
    bench.runner.close()
    end = simulator.counters()
    opened, closed = (end[name] - start[name] for name in ("shells_opened", "shells_closed"))
    report.add("shells opened", opened, "")
    report.add("shells opened − closed after the exit", opened - closed, "", at_most=0)
    report.add("logins a host", (end["logins"] - start["logins"]) / HOSTS, "", at_most=1)
    report.add("memory at the end", memory[-1], "MiB", at_most=150)
    report.add(
        "memory at the end beside two thirds",
        memory[-1] / memory[2 * ROUNDS // 3],
        "ratio",
        at_most=FLAT_SHARE,
    )
    report.add(
        "open files at the end beside the first round", sockets[-1] / sockets[0], "ratio", at_most=1.05
    )
    report.add("threads at the end beside the first round", threads[-1] / threads[0], "ratio", at_most=1)
    report.add("processes left", int(Path(f"/proc/{pid}").exists()), "", at_most=0)


def _terminated(report: Report, simulator: Simulator) -> None:
    """kill -TERM while half of the hosts' polls are under way."""
    tasks, start = _tasks(simulator), simulator.counters()
    bench = PluginBench("winrm", in_flight=HOSTS)
    bench.round(tasks)

    def go_on() -> None:
        with suppress(AssertionError, RunnerClosed):  # what is under way fails, which is what is wanted
            bench.round(tasks)

    thread = threading.Thread(target=go_on)
    thread.start()
    time.sleep(0.3)  # so that some polls are under way and others still wait
    pid = bench.pid
    process = bench.runner._process
    assert process is not None
    process.popen.send_signal(signal.SIGTERM)
    ended = time.perf_counter()
    thread.join()
    took = time.perf_counter() - ended
    bench.runner.close()
    time.sleep(1)  # the hosts count what reaches them after the exit, too
    end = simulator.counters()
    opened, closed = (end[name] - start[name] for name in ("shells_opened", "shells_closed"))
    report.add("SIGTERM: shells opened − closed", opened - closed, "", at_most=0)
    report.add("SIGTERM: seconds until it had ended", took, "s", at_most=3)
    report.add("SIGTERM: processes left", int(Path(f"/proc/{pid}").exists()), "", at_most=0)
