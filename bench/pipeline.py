"""The whole pipeline as real processes: 2,000 simulated WinRM devices, then 20,000 ping-only ones, at 60
s.
"""

import time
from contextlib import ExitStack
from dataclasses import dataclass

from django.db import connections

from bench.data import devices_make
from bench.measure import Report, command_line, cpu_seconds, percentile, resident_mib
from nms_project.stack.live import LiveStack
from plugins.lab.daemons import descendants
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig

INTERVAL_SECONDS = 60
WARM_SECONDS = 25
FIRST_ROUND_SECONDS = 65  # of WinRM: logins and shells are made once
MEASURED_SECONDS = 60
PROCESSES = ("beat", "worker control ping discovery", "worker store", "worker poll.0", "worker poll.1")
PASSWORD = "bench"


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far."""

    own: float  # beat, workers and the fping processes they have waited for
    plugins: float
    postgres: float
    redis: float


def run_winrm(stack: LiveStack) -> Report:
    devices = 2_000
    config = FleetConfig(network="127.32.0.0/16", count=devices, password=PASSWORD, latency_seconds=0.2)
    with Simulator(config):
        devices_make(
            count=devices,
            plugin_id="winrm",
            first="127.32.0.1",
            port=5985,
            payload={"username": "monitor", "password": PASSWORD},
        )
        setting = f"{devices:,} WinRM devices at 60 s"
        return _measure(stack, "pipeline-winrm", setting, devices, warm_seconds=FIRST_ROUND_SECONDS)


def run_ping(stack: LiveStack) -> Report:
    devices = 20_000
    devices_make(count=devices, plugin_id="icmp", first="127.33.0.1", port=0, payload={})
    setting = f"{devices:,} ping-only devices at 60 s"
    return _measure(stack, "pipeline-ping", setting, devices, warm_seconds=WARM_SECONDS)


def _measure(stack: LiveStack, name: str, setting: str, devices: int, *, warm_seconds: float) -> Report:
    connections.close_all()
    with ExitStack() as clean_up:
        clean_up.callback(_end_processes, stack)
        stack.run(*PROCESSES)
        time.sleep(warm_seconds)
        before, since = _usage(stack), stack.sql("SELECT now()")[0][0]
        time.sleep(MEASURED_SECONDS)
        after, until = _usage(stack), stack.sql("SELECT now()")[0][0]
        memory = max(resident_mib(process.pid) for process in stack.processes.values())
        time.sleep(4)
        rows = stack.sql(
            "SELECT kind, extract(epoch FROM started_at - due_at)::float8 FROM polling_verdict "
            "WHERE due_at >= %s AND due_at < %s",
            since,
            until,
        )
    report = Report(name, setting)
    good = sum(kind == "ok" for kind, _ in rows)
    lateness = [late for _, late in rows if late is not None]
    expected = devices * MEASURED_SECONDS / INTERVAL_SECONDS
    report.add("slots answered ok of those due", good / expected, "ratio", at_least=0.99)
    report.add("lateness p50", percentile(lateness, 0.5), "s")
    report.add("lateness p99", percentile(lateness, 0.99), "s", at_most=2)
    report.add(
        "pipeline CPU a slot, without the plugin", (after.own - before.own) / good * 1e3, "ms", at_most=0.5
    )
    report.add("plugin CPU a slot", (after.plugins - before.plugins) / good * 1e3, "ms")
    report.add("PostgreSQL CPU a slot", (after.postgres - before.postgres) / good * 1e3, "ms")
    report.add("Redis CPU a slot", (after.redis - before.redis) / good * 1e3, "ms")
    report.add("verdicts other than ok", len(rows) - good, "", at_most=0)
    report.add("largest worker", memory, "MiB", at_most=150)
    return report


def _usage(stack: LiveStack) -> Usage:
    workers = [process.pid for process in stack.processes.values()]
    plugins = [
        pid for worker in workers for pid in descendants(worker) if b"winrm-plugin" in command_line(pid)
    ]
    assert stack.postgres.process
    assert stack.redis.process
    postmaster = stack.postgres.process.pid
    return Usage(
        own=sum(map(cpu_seconds, workers)),
        plugins=sum(map(cpu_seconds, plugins)),
        # Backends that have ended are in the postmaster's account.
        postgres=cpu_seconds(postmaster)
        + sum(cpu_seconds(pid, with_reaped_children=False) for pid in descendants(postmaster)),
        redis=cpu_seconds(stack.redis.process.pid),
    )


def _end_processes(stack: LiveStack) -> None:
    for name in list(stack.processes):
        stack.end(name)
    stack.broker().flushall()
