"""The store stage beside a bare binary COPY of the same rows into tables of the same shape."""

import json
import time
from collections.abc import Callable

from django.db import connection, transaction

from bench.data import devices_make
from bench.measure import Report, percentile
from devices.models import Device
from devices.schedule import from_microseconds, to_microseconds
from devices.services import database_now
from metrics.writer import SampleRow, samples_copy
from polling.ledger import verdicts_copy
from polling.models import VerdictKind
from polling.slots import Report as Verdict
from polling.store import reports_store

DEVICES = 20_000
BATCH = 500
ROUNDS = 5
DOCUMENT = json.dumps(
    {
        "cpu": {"total": 41.2, **{str(core): 40.0 + core for core in range(8)}},
        "memory": {"total": 17179869184, "free": 5368709120, "used": 11811160064},
        "disk": {
            "total": {"size": 1, "free": 1},
            "drives": {name: {"total": 1, "free": 1} for name in ("C:", "D:")},
        },
        "network": {"total": {"rx": 1, "tx": 1}, "interfaces": {"Ethernet": {"rx": 123456, "tx": 654321}}},
        "system": {
            "hostname": "WIN-1",
            "os": "Microsoft Windows Server 2022",
            "uptime_seconds": 1,
            "processes": 90,
        },
    },
    separators=(",", ":"),
)


def run() -> Report:
    devices_make(count=DEVICES, plugin_id="icmp", first="10.0.0.0", port=0, payload={})
    ids = list(Device.objects.values_list("pk", flat=True))
    stored, bare, redelivered = [], [], []
    base = to_microseconds(database_now())
    for number in range(ROUNDS):
        batches = make_batches(ids, base + number * 60_000_000)
        stored.append(rate(batches, reports_store))
        redelivered.append(rate(batches[:10], reports_store))
        _empty()
        bare.append(rate(make_batches(ids, base + number * 60_000_000), bare_copy))
        _empty()
    report = Report(
        "store", f"verdict and sample of {DEVICES:,} devices, {len(DOCUMENT)} bytes each, {BATCH} a batch"
    )
    ratio = percentile([mine / peer for mine, peer in zip(stored, bare, strict=True)], 0.5)
    report.add("store beside a bare COPY", ratio, "ratio", at_least=0.5)
    report.add("store", percentile(stored, 0.5), "slots/s")
    report.add("bare binary COPY into both tables", percentile(bare, 0.5), "slots/s")
    report.add("a batch delivered again", percentile(redelivered, 0.5), "slots/s")
    return report


def make_batches(ids: list[int], due_us: int) -> list[list[Verdict]]:
    reports = [
        Verdict(
            device_id=pk,
            due_us=due_us,
            kind=VerdictKind.OK,
            started_us=due_us,
            duration_ms=12.0,
            rtt_ms=0.3,
            loss_percent=0.0,
            sampled_us=due_us,
            document=DOCUMENT,
        )
        for pk in ids
    ]
    return [reports[start : start + BATCH] for start in range(0, len(reports), BATCH)]


def rate(batches: list[list[Verdict]], store: Callable[[list[Verdict]], None]) -> float:
    started = time.perf_counter()
    for batch in batches:
        store(batch)
    return sum(map(len, batches)) / (time.perf_counter() - started)


def bare_copy(batch: list[Verdict]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        verdicts_copy(cursor, batch)
        samples_copy(
            cursor,
            [
                SampleRow(row.device_id, row.due_at, from_microseconds(row.due_us), row.document or "")
                for row in batch
            ],
        )


def _empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE polling_verdict, metrics_sample")
