"""The claim: 100,000 devices polled every minute, in ticks of a second."""

import time

from django.db import connection

from bench.data import devices_make
from bench.measure import Report, percentile
from polling.claim import slots_claim
from polling.scheduler import lease_seconds

DEVICES = 100_000
TICKS = 40
DUE = DEVICES // 60


def run() -> Report:
    devices_make(count=DEVICES, plugin_id="icmp", first="10.0.0.0", port=0, payload={})
    ticks = [_tick() for _ in range(TICKS)][5:]
    report = Report("claim", f"{DEVICES:,} devices at 60 s, {DUE:,} due in each tick")
    total_due = DUE * len(ticks)
    report.add("claim, a device", sum(ticks) / total_due * 1e6, "µs", at_most=25)
    report.add("claim, a tick, median", percentile(ticks, 0.5) * 1e3, "ms", at_most=50)
    report.add("claim, a tick, p95", percentile(ticks, 0.95) * 1e3, "ms")
    report.add("a tick with nothing due", _empty_tick() * 1e3, "ms")
    return report


def _tick() -> float:
    """Makes a second's share due, claims it, and ends the leases as the store stage does (not counted)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE devices_pollstate SET next_poll_at = now() - interval '1 ms', lease_due_at = NULL, "
            "leased_until = NULL WHERE device_id IN "
            "(SELECT device_id FROM devices_pollstate ORDER BY next_poll_at LIMIT %s)",
            [DUE],
        )
        started = time.perf_counter()
        claimed, due = slots_claim(limit=5_000, lease_seconds=lease_seconds())
        elapsed = time.perf_counter() - started
        assert due >= DUE, f"{due} were due"
        cursor.execute(
            "UPDATE devices_pollstate SET lease_due_at = NULL, leased_until = NULL "
            "WHERE leased_until IS NOT NULL"
        )
    return elapsed * DUE / len(claimed)


def _empty_tick() -> float:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE devices_pollstate SET next_poll_at = now() + interval '50 s'")
    started = time.perf_counter()
    for _ in range(20):
        slots_claim(limit=5_000, lease_seconds=lease_seconds())
    return (time.perf_counter() - started) / 20
