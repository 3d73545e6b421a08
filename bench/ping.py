"""The ping stage, everything included, beside the bare fping command with the same arguments."""

import resource
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.db import connection

from bench.data import devices_make
from bench.measure import Report
from devices.models import Device
from devices.schedule import to_microseconds
from polling.claim import slots_claim
from polling.fping import options_from_settings
from polling.scheduler import batches, lease_seconds
from polling.slots import Slot
from polling.tasks import ping_task

ADDRESSES = 10_000
STEADY_BATCHES = 4  # more than 10,000 devices at 60 s ever have in flight


def run() -> Report:
    devices_make(count=ADDRESSES, plugin_id="icmp", first="127.30.0.1", port=0, payload={})
    addresses = list(Device.objects.values_list("ip_address", flat=True))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE devices_pollstate SET next_poll_at = now()")
    claimed, _ = slots_claim(limit=ADDRESSES, lease_seconds=lease_seconds() + 60)
    slots = [Slot(slot.device_id, to_microseconds(slot.due_at)) for slot in claimed]
    bare_wall, bare_cpu = _measured(lambda: _bare(addresses))
    wall, cpu = _staged(slots, STEADY_BATCHES)
    _, burst_cpu = _staged(slots, settings.NMS_PING_THREADS)
    report = Report("ping", f"{ADDRESSES:,} addresses of 127.0.0.0/8, batches of {settings.NMS_BATCH_SIZE}")
    report.add("wall time beside bare fping", wall / bare_wall, "ratio", at_most=2)
    report.add("CPU beside bare fping", cpu / bare_cpu, "ratio", at_most=2)
    # Every raw ICMP socket hears every answer, so many fpings at once disturb each other.
    report.add(
        f"CPU in a burst of {settings.NMS_PING_THREADS} batches at once", burst_cpu / bare_cpu, "ratio"
    )
    report.add("ping stage, wall", wall, "s")
    report.add("ping stage, CPU (guard, fping, verdicts, hand-over)", cpu, "s")
    report.add("bare fping, wall", bare_wall, "s")
    report.add("bare fping, CPU", bare_cpu, "s")
    return report


def _bare(addresses: list[str]) -> None:
    subprocess.run(
        options_from_settings().command(),
        input="\n".join(addresses).encode(),
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )


def _staged(slots: list[Slot], threads: int) -> tuple[float, float]:
    with ThreadPoolExecutor(threads) as pool:
        _stage(pool, slots)  # threads that have run for a while have their connections
        return _measured(lambda: _stage(pool, slots))


def _stage(pool: ThreadPoolExecutor, slots: list[Slot]) -> None:
    list(pool.map(ping_task, batches(slots, settings.NMS_BATCH_SIZE)))


def _measured(work: Callable[[], None]) -> tuple[float, float]:
    """(wall seconds, CPU seconds of this process and of the children it waited for)"""

    def cpu() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    started_cpu, started = cpu(), time.perf_counter()
    work()
    return time.perf_counter() - started, cpu() - started_cpu
