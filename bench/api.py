"""The list of devices as people ask for it, 50 of 100,000, while 50 clients ask too."""

import os
import socket
import time
from collections.abc import Mapping

from django.db import connection

from bench.crowd import Crowd
from bench.data import devices_make
from bench.measure import Report, percentile
from devices.models import Device
from devices.search import devices_search
from nms_project.stack.live import LiveStack, wait_until

DEVICES = 100_000
CLIENTS = 50
# Of each client between two requests: a page that refreshes itself.
PAUSE_SECONDS = float(os.environ.get("BENCH_API_PAUSE_SECONDS", "5"))
ROUNDS = 40
QUERIES: Mapping[str, Mapping[str, str]] = {
    "first page": {},
    "page 1,000": {"page": "1000"},
    "by status": {"status": "error"},
    "by status and plugin": {"status": "active", "plugin_id": "icmp"},
    "by name": {"ordering": "hostname"},
    "search, many found": {"search": "host"},
    "search, few found": {"search": "host-9876"},
    "search, one found": {"search": "10.0.200.7"},
    "search, none found": {"search": "printer"},
    "search, two characters": {"search": "99"},
    "search, network": {"search": "10.1.0.0/24"},
    "search and status": {"search": "host-12", "status": "active", "ordering": "-id"},
}
# A length of 2 GB is announced and never sent.
REFUSED = (
    ("2 GB", "devices", "0" * 1_000),
    ("a /8", "discovery_profiles", '{"name": "all", "target": "10.0.0.0/8", "credential_profile_id": 1}'),
)


def run(stack: LiveStack) -> Report:
    devices_make(count=DEVICES, plugin_id="icmp", first="10.0.0.0", port=0, payload={})
    with connection.cursor() as cursor:  # some of each status, names in no order of ids, as in life
        cursor.execute("UPDATE devices_device SET hostname = 'host-' || id * 7919 %% %s", [DEVICES])
        cursor.execute("UPDATE devices_device SET status = 'inactive' WHERE id % 10 = 0")
        cursor.execute("UPDATE devices_device SET status = 'error' WHERE id % 1000 = 1")
        cursor.execute("VACUUM FULL ANALYZE devices_device, devices_pollstate")  # as an import leaves them
        cursor.execute("VACUUM devices_device, devices_pollstate")
    scans = sorted(_scan() for _ in range(ROUNDS))
    stack.run("web")
    report = Report("api", f"50 of {DEVICES:,} devices, {CLIENTS} clients that ask every {PAUSE_SECONDS:g} s")
    # To judge the others by: how quick the machine is at this moment.
    report.add("PostgreSQL alone, a search that finds none, median", percentile(scans, 0.5) * 1e3, "ms")
    client = stack.client
    crowd = Crowd(
        f"{client.base_url}/api/v1/devices",
        client.session.headers,
        list(QUERIES.values()),
        clients=CLIENTS,
        pause_seconds=PAUSE_SECONDS,
    )
    with crowd:
        for query in QUERIES.values():
            _ask(stack, query)
        # Each thread of the server has its connection by then.
        wait_until(lambda: crowd.answered >= 2 * CLIENTS, 60 + 3 * PAUSE_SECONDS)
        started, before = time.monotonic(), crowd.answered
        for what, query in QUERIES.items():
            times = sorted(_ask(stack, query) for _ in range(ROUNDS))
            report.add(f"{what}, median", percentile(times, 0.5) * 1e3, "ms")
            report.add(f"{what}, p95", percentile(times, 0.95) * 1e3, "ms", at_most=50)
        rate = (crowd.answered - before) / (time.monotonic() - started)
    for what, path, body in REFUSED:
        times = [_refused(stack, path, body) for _ in range(ROUNDS)]
        report.add(f"refusing {what}, p95", percentile(times, 0.95) * 1e3, "ms", at_most=100)
    report.add("answers to the clients beside it", rate, "/s")
    report.add("of them with an error", crowd.failed, "")
    stack.end("web")
    return report


def _scan() -> float:
    started = time.perf_counter()
    assert devices_search(Device.objects.all(), ["printer"]).count() == 0
    return time.perf_counter() - started


def _ask(stack: LiveStack, query: Mapping[str, str]) -> float:
    started = time.perf_counter()
    answer = stack.client.get("devices", page_size=50, **query)
    elapsed = time.perf_counter() - started
    assert answer["count"] <= DEVICES
    return elapsed


def _refused(stack: LiveStack, path: str, body: str) -> float:
    length = 2 * 1024**3 if path == "devices" else len(body)
    head = (
        f"POST /api/v1/{path} HTTP/1.1",
        "Host: 127.0.0.1",
        f"Authorization: {stack.client.session.headers['Authorization']!s}",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    )
    started = time.perf_counter()
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        connection.sendall("\r\n".join((*head, "", body)).encode())
        status = connection.makefile("rb").readline()
    elapsed = time.perf_counter() - started
    assert b" 413 " in status or b" 400 " in status, status
    return elapsed
