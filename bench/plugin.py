"""What the benchmarks of plugins share: a plugin in stream mode on core 1, its hosts on core 0, and its
cost.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.measure import command_line, cpu_seconds, resident_mib
from devices.plugins import registry
from plugins.contract import Task
from plugins.lab.daemons import descendants
from polling.stream import StreamRunner

HOSTS_CORE, PLUGIN_CORE = 0, 1
ON_HOSTS_CORE = ("taskset", "-c", str(HOSTS_CORE))


@contextmanager
def on_plugin_core() -> Iterator[None]:
    """This process and what it starts inside; hosts are started with ON_HOSTS_CORE."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {PLUGIN_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one poll, in seconds; memory is the plugin's at the end."""

    wall: float
    cpu: float
    mib: float


class PluginBench:
    """A stream runner of our own, which knows its process."""

    def __init__(self, plugin_id: str, *, in_flight: int) -> None:
        self.plugin_id = plugin_id
        self.runner = StreamRunner(registry().plugins[plugin_id], in_flight=in_flight, silence_seconds=60)

    @property
    def pid(self) -> int:
        name = f"{self.plugin_id}-plugin".encode()
        (found,) = [pid for pid in descendants(os.getpid()) if name in command_line(pid)]
        return found

    def round(self, tasks: Sequence[Task]) -> None:
        """All of them once, every one with success."""
        for results in self.runner.run(tasks, start_within_seconds=60):
            for result in results:
                assert result.success, result.error

    def measure(self, tasks: Sequence[Task], *, rounds: int) -> Cost:
        pid, started = self.pid, time.perf_counter()
        before = cpu_seconds(pid)
        for _ in range(rounds):
            self.round(tasks)
        polls = len(tasks) * rounds
        cpu = cpu_seconds(pid) - before
        return Cost((time.perf_counter() - started) / polls, cpu / polls, resident_mib(pid))
