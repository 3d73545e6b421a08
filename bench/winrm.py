"""WinRM by each way to collect, beside the loop one would write first: a pywinrm session for every poll."""

import time
from typing import Any

import winrm

from bench.measure import Report
from bench.plugin import ON_HOSTS_CORE, Cost, PluginBench, on_plugin_core
from plugins.contract import Task
from plugins.winrm.powershell import once
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig

HOSTS = 150
ROUNDS = 20
NAIVE_POLLS = 100
PASSWORD = "bench"
PORT = 5985
# (credential's `collect`, the most round trips a poll may take)
WAYS = (("powershell", 3), ("powershell_process", 3), ("cim", None))


def run() -> Report:
    config = FleetConfig(network="127.31.0.0/16", count=HOSTS, password=PASSWORD, latency_seconds=0.05)
    polls = HOSTS * ROUNDS
    setting = (
        f"NTLM with encryption, {HOSTS} hosts, {polls:,} polls each way; plugin and hosts on a core each"
    )
    report = Report("winrm", setting)
    with Simulator(config, command_prefix=ON_HOSTS_CORE) as simulator, on_plugin_core():
        naive = _naive(config.addresses())
        for way, most in WAYS:
            _way(report, simulator, way, most, naive)
    report.add("naive loop, polls a second", 1 / naive.wall, "1/s")
    report.add("naive loop, CPU a poll", naive.cpu * 1e3, "ms")
    return report


def _way(report: Report, simulator: Simulator, way: str, most: int | None, naive: Cost) -> None:
    secret = {"username": "monitor", "password": PASSWORD, "collect": way}
    tasks = [Task(address, address, PORT, secret, 20) for address in simulator.config.addresses()]
    bench = PluginBench("winrm", in_flight=HOSTS)
    start = simulator.counters()
    bench.round(tasks)  # logins, shells, first readings
    before = simulator.counters()
    cost = bench.measure(tasks, rounds=ROUNDS)
    steady = _difference(simulator.counters(), before)
    bench.runner.close()
    whole = _difference(simulator.counters(), start)
    polls = HOSTS * ROUNDS
    is_default = way == "powershell"
    report.add(f"{way}: polls a second beside the naive loop", naive.wall / cost.wall, "ratio")
    report.add(f"{way}: CPU a poll beside the naive loop", cost.cpu / naive.cpu, "ratio")
    report.add(f"{way}: plugin CPU a poll", cost.cpu * 1e3, "ms", at_most=2 if is_default else None)
    report.add(f"{way}: round trips a poll", steady["requests"] / polls, "", at_most=most)
    report.add(f"{way}: bytes sent a poll", steady["received_bytes"] / polls, "B")
    report.add(f"{way}: bytes received a poll", steady["sent_bytes"] / polls, "B")
    most_processes = {"powershell": 0, "powershell_process": 1, "cim": 0}[way]
    report.add(f"{way}: processes started a poll", steady["processes"] / polls, "", at_most=most_processes)
    report.add(
        f"{way}: logins and shells in steady state", steady["logins"] + steady["shells_opened"], "", at_most=0
    )
    report.add(
        f"{way}: shells left at the end", whole["shells_opened"] - whole["shells_closed"], "", at_most=0
    )
    report.add(f"{way}: plugin memory", cost.mib, "MiB")


def _difference(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in after}


def _naive(addresses: list[str]) -> Cost:
    executable, arguments = once()
    started, before = time.perf_counter(), time.process_time()
    for number in range(NAIVE_POLLS):
        session: Any = winrm.Session(
            f"http://{addresses[number % len(addresses)]}:{PORT}/wsman",
            auth=("monitor", PASSWORD),
            transport="ntlm",
        )
        answer = session.run_cmd(executable, arguments)
        assert answer.status_code == 0
    wall, cpu = time.perf_counter() - started, time.process_time() - before
    return Cost(wall / NAIVE_POLLS, cpu / NAIVE_POLLS, 0)
