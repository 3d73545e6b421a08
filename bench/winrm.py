"""WinRM in stream mode beside the loop one would write first: a pywinrm session for every poll."""

import os
import time

import winrm

from bench.measure import Report, command_line, cpu_seconds, descendants, resident_mib
from devices.plugins import registry
from plugins.contract import Task
from plugins.winrm.powershell import once
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from polling.stream import StreamRunner

HOSTS = 150
ROUNDS = 20
NAIVE_POLLS = 100
PASSWORD = "bench"
PORT = 5985


def run() -> Report:
    config = FleetConfig(network="127.31.0.0/16", count=HOSTS, password=PASSWORD, latency_seconds=0.05)
    with Simulator(config, command_prefix=("taskset", "-c", "0")) as simulator:
        os.sched_setaffinity(0, {1})
        try:
            naive_rate, naive_cpu = _naive(config.addresses())
            return _stream(simulator, naive_rate, naive_cpu)
        finally:
            os.sched_setaffinity(0, {0, 1})


def _stream(simulator: Simulator, naive_rate: float, naive_cpu: float) -> Report:
    addresses = simulator.config.addresses()
    runner = StreamRunner(registry().plugins["winrm"], in_flight=HOSTS, silence_seconds=30)
    _round(runner, addresses)  # logins and shells
    (plugin,) = _plugin_pids()
    before, counters = cpu_seconds(plugin), simulator.counters()
    started = time.perf_counter()
    for _ in range(ROUNDS):
        _round(runner, addresses)
    elapsed = time.perf_counter() - started
    cpu, after = cpu_seconds(plugin) - before, simulator.counters()
    memory = resident_mib(plugin)
    runner.close()
    closed = simulator.counters()
    polls = HOSTS * ROUNDS
    report = Report(
        "winrm",
        f"NTLM with encryption, {HOSTS} hosts, {polls:,} polls; plugin on one core, hosts on the other",
    )
    report.add("polls a second beside a naive pywinrm loop", polls / elapsed / naive_rate, "ratio")
    report.add("CPU a poll beside a naive pywinrm loop", cpu / polls / naive_cpu, "ratio")
    report.add("plugin CPU a poll", cpu / polls * 1e3, "ms", at_most=2)
    report.add("round trips a poll", (after["requests"] - counters["requests"]) / polls, "", at_most=3)
    report.add("logins in steady state", after["logins"] - counters["logins"], "", at_most=0)
    report.add(
        "shells opened in steady state", after["shells_opened"] - counters["shells_opened"], "", at_most=0
    )
    report.add("shells left at the end", closed["shells_opened"] - closed["shells_closed"], "", at_most=0)
    report.add("polls a second", polls / elapsed, "1/s")
    report.add("plugin memory", memory, "MiB")
    report.add("naive loop, polls a second", naive_rate, "1/s")
    report.add("naive loop, CPU a poll", naive_cpu * 1e3, "ms")
    return report


def _round(runner: StreamRunner, addresses: list[str]) -> None:
    secret = {"username": "monitor", "password": PASSWORD}
    tasks = [Task(address, address, PORT, secret, 20) for address in addresses]
    for results in runner.run(tasks, start_within_seconds=20):
        for result in results:
            assert result.success, result.error


def _plugin_pids() -> list[int]:
    return [pid for pid in descendants(os.getpid()) if b"winrm-plugin" in command_line(pid)]


def _naive(addresses: list[str]) -> tuple[float, float]:
    """(polls a second, CPU seconds a poll)"""
    executable, arguments = once()
    started, before = time.perf_counter(), time.process_time()
    for number in range(NAIVE_POLLS):
        session = winrm.Session(
            f"http://{addresses[number % len(addresses)]}:{PORT}/wsman",
            auth=("monitor", PASSWORD),
            transport="ntlm",
        )
        answer = session.run_cmd(executable, arguments)
        assert answer.status_code == 0
    return NAIVE_POLLS / (time.perf_counter() - started), (time.process_time() - before) / NAIVE_POLLS
