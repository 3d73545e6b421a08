"""The pages that operators keep open, with 10,000 devices and 30 days of history: milliseconds on the server,
and the drawing of 10,000 points in a browser.

Each page is asked for as its first visitor would: what is kept for others for some seconds is dropped before.
"""

import os
import random
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from playwright.sync_api import sync_playwright

from bench import history
from bench.data import devices_make
from bench.measure import Report, percentile
from devices.models import Device
from devices.services import database_now

SAMPLES_WANTED = int(os.environ.get("NMS_BENCH_SAMPLES", "10_000_000"))
REPEATS = 60
CHROMIUM = "/usr/bin/chromium"
UPLOT = Path(__file__).parents[1] / "console/static/console/vendor/uplot/uPlot.iife.min.js"
POINTS = 10_000
# Milliseconds until the drawing is on the canvas, of each of 30 charts.
DRAW = """
async (points) => {
  const times = Array.from({ length: points }, (_, n) => 1.7e9 + 10 * n);
  const values = times.map((_, n) => (n % 997 === 0 ? null : 50 + 40 * Math.sin(n / 50) + (n * 7919) % 10));
  const low = values.map((value) => (value === null ? null : value - 5));
  const high = values.map((value) => (value === null ? null : value + 5));
  const series = [{}, { stroke: "#00f" }, { stroke: "#0000" }, { stroke: "#0000" }];
  const bands = [{ series: [3, 2], fill: "#00f3" }];
  const took = [];
  for (let round = 0; round < 30; round += 1) {
    const started = performance.now();
    const size = { width: 600, height: 200 };
    const plot = new uPlot({ ...size, series, bands }, [times, values, low, high], document.body);
    await null; // uPlot draws when the script that made it has ended
    await null;
    plot.ctx.getImageData(0, 0, 1, 1); // which waits for the drawing
    took.push(performance.now() - started);
    plot.destroy();
  }
  return took;
}
"""


def run() -> Report:
    devices_make(
        count=history.DEVICES,
        plugin_id="icmp",
        first="10.0.0.0",
        port=0,
        payload={},
        interval_seconds=300,
    )
    now = database_now()
    step = timedelta(seconds=history.DEVICES * history.DAYS * 86_400 // SAMPLES_WANTED)
    history.load(now, step)
    history.note_newest(now)
    _trouble()
    report = Report(
        "console",
        f"{history.DEVICES:,} devices, {history.DAYS} days, {SAMPLES_WANTED:,} samples; a year of days",
    )
    client = Client(headers={"host": "localhost"})
    client.force_login(get_user_model().objects.create_superuser("bench-console"))
    chance = random.Random(6)
    ids = list(Device.objects.values_list("pk", flat=True))
    _pages(report, client, lambda: chance.choice(ids))
    _drawing(report)
    return report


def _trouble() -> None:
    """Some of each state, problems, and names in no order of ids, as in life."""
    statements = (
        "UPDATE devices_device SET hostname = 'host-' || id * 7919 % 10000",
        "UPDATE devices_device SET status = 'inactive', has_failed = id % 50 = 0, status_reason = 'failed', "
        "status_since = now() - make_interval(mins => id::int % 5000) WHERE id % 25 = 0",
        "UPDATE devices_pollstate SET last_due_at = newest_sample_at, last_polled_at = newest_sample_at, "
        "last_verdict = CASE WHEN device_id % 40 = 1 THEN 'timeout' ELSE 'ok' END",
        "VACUUM ANALYZE devices_device, devices_pollstate",
    )
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _pages(report: Report, client: Client, one: Callable[[], int]) -> None:
    def charts(seconds: int) -> Callable[[], Any]:
        def ask() -> Any:
            end = int(time.time())
            query = {"start": end - seconds, "end": end}
            return client.get(f"/admin/devices/device/{one()}/charts/", query)

        return ask

    def listed(**query: str) -> Callable[[], Any]:
        return lambda: client.get("/admin/devices/device/", query)

    asked: Mapping[str, tuple[Callable[[], Any], int]] = {
        "dashboard": (lambda: client.get("/admin/"), 300),
        "dashboard, its panels again": (lambda: client.get("/admin/live/"), 300),
        "device page": (lambda: client.get(f"/admin/devices/device/{one()}/change/"), 300),
        "device page, charts of an hour": (charts(3_600), 300),
        "device page, charts of a day": (charts(86_400), 300),
        "device page, charts of 30 days": (charts(30 * 86_400), 300),
        "device page, charts of a year": (charts(365 * 86_400), 300),
        "list": (listed(), 150),
        "list, page 90": (listed(p="90"), 150),
        "list, by name": (listed(o="1"), 150),
        "list, active": (listed(status__exact="active"), 150),
        "list, problems": (listed(problem="any"), 150),
        "list, search by name": (listed(q="host-123"), 150),
        "list, search by network": (listed(q="10.0.8.0/22"), 150),
    }
    for what, (ask, budget) in asked.items():
        for _ in range(3):
            _ask(ask)
        times = sorted(_ask(ask) for _ in range(REPEATS))
        cache.clear()
        with CaptureQueriesContext(connection) as queries:
            ask()
        report.add(f"{what}: p50", percentile(times, 0.5), "ms")
        report.add(f"{what}: p95, {len(queries)} queries", percentile(times, 0.95), "ms", at_most=budget)


def _ask(ask: Callable[[], Any]) -> float:
    cache.clear()
    started = time.perf_counter()
    answer = ask()
    elapsed = (time.perf_counter() - started) * 1_000
    assert answer.status_code == 200, answer.content[:500]
    return elapsed


def _drawing(report: Report) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        page = browser.new_page()
        page.add_script_tag(path=str(UPLOT))
        times = sorted(page.evaluate(DRAW, POINTS))
        browser.close()
    report.add(f"drawing {POINTS:,} points with their band, median", statistics.median(times), "ms")
    report.add(f"drawing {POINTS:,} points with their band, p95", percentile(times, 0.95), "ms", at_most=100)
