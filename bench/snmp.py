"""SNMP against real net-snmp agents, beside snmpbulkwalk reading the same."""

import os
import subprocess
import time
from contextlib import ExitStack

from bench.measure import Report
from bench.plugin import ON_HOSTS_CORE, PluginBench, on_plugin_core
from plugins.contract import Task
from plugins.lab.daemons import environment, program
from plugins.lab.snmp_agent import PORT, Agent
from plugins.snmp import mib

AGENTS = 8
TARGETS = 400  # sessions; an agent answers on one address, so several credentials share it
ROUNDS = 10
WALKS = 20
# What a poll reads, as tables.
TABLES = (
    mib.IF_HC_IN_OCTETS,
    mib.IF_HC_OUT_OCTETS,
    mib.HR_PROCESSOR_LOAD,
    mib.HR_STORAGE_SIZE,
    mib.HR_STORAGE_USED,
    "1.3.6.1.2.1.1",
    "1.3.6.1.4.1.2021.4",
    "1.3.6.1.4.1.2021.11",
)


def run() -> Report:
    polls = TARGETS * ROUNDS
    setting = f"v2c, {TARGETS} sessions to {AGENTS} net-snmp agents, {polls:,} polls; plugin on one core"
    report = Report("snmp", setting)
    with ExitStack() as stack:
        agents = [
            stack.enter_context(Agent(f"127.33.0.{number}", name=f"agent-{number}", prefix=ON_HOSTS_CORE))
            for number in range(1, AGENTS + 1)
        ]
        stack.enter_context(on_plugin_core())
        wall, cpu = _walks(agents[0].address)
        bench = PluginBench("snmp", in_flight=64)
        tasks = [
            # A time-out of its own makes each a session of its own, as targets have.
            Task(
                str(number),
                agents[number % AGENTS].address,
                PORT,
                {"community": "public", "version": "2c", "n": number},
                20,
            )
            for number in range(TARGETS)
        ]
        bench.round(tasks)  # walks
        cost = bench.measure(tasks, rounds=ROUNDS)
        bench.runner.close()
    report.add("polls a second and core", 1 / cost.cpu, "1/s", at_least=2_000)
    report.add("polls a second", 1 / cost.wall, "1/s")
    report.add("plugin CPU a poll", cost.cpu * 1e3, "ms")
    report.add("plugin memory", cost.mib, "MiB")
    report.add("CPU a poll beside snmpbulkwalk of the same tables", cost.cpu / cpu, "ratio")
    report.add("wall a poll beside snmpbulkwalk of the same tables", cost.wall / wall, "ratio")
    report.add("snmpbulkwalk, CPU", cpu * 1e3, "ms")
    report.add("snmpbulkwalk, wall", wall * 1e3, "ms")
    return report


def _walks(address: str) -> tuple[float, float]:
    """(wall, CPU) seconds of reading the tables once, a process for each."""
    before, started = os.times(), time.perf_counter()
    for _ in range(WALKS):
        for table in TABLES:
            subprocess.run(
                [
                    program("usr/bin/snmpbulkwalk"),
                    "-m",
                    "",
                    "-v2c",
                    "-cpublic",
                    "-Oqn",
                    f"{address}:{PORT}",
                    table,
                ],
                env=environment(SNMP_PERSISTENT_DIR="/tmp/nms-bench-snmp", SNMPCONFPATH="/nonexistent"),
                stdout=subprocess.DEVNULL,
                check=True,
                timeout=20,
            )
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return (time.perf_counter() - started) / WALKS, cpu / WALKS
