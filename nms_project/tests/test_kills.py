"""Workers killed with SIGKILL in each stage, two of everything, and two schedulers: each slot once."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from nms_project.stack.live import LiveStack, live_stack, wait_until
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CREDENTIAL = {"protocol": "winrm", "payload": {"username": "monitor", "password": "s3cret"}}
SHARED = ("web", "beat", "worker control")
LEASE_SECONDS = 26
INTERVAL_SECONDS = 10

# Verdicts of one device closer together than slots can be, and samples that are not of an ok verdict.
DOUBLED = """
SELECT count(*) FROM (
    SELECT due_at - lag(due_at) OVER (PARTITION BY device_id ORDER BY due_at) AS gap FROM polling_verdict
) AS slot WHERE gap < interval '4.9 seconds'
"""
UNMATCHED = """
SELECT count(*) FROM metrics_sample FULL JOIN (SELECT * FROM polling_verdict WHERE kind = 'ok') AS verdict
USING (device_id, due_at) WHERE metrics_sample.device_id IS NULL OR verdict.device_id IS NULL
"""


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    config = FleetConfig(network="127.61.1.0/24", count=40, password="s3cret", latency_seconds=0.05)
    with Simulator(config) as running:
        yield running


class Fping:
    """fping, which hangs the next time when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.binary = folder / "fping"
        self._asked, self._hanging = folder / "asked", folder / "hanging"
        trap = f"[ -e {self._asked} ] && mv {self._asked} {self._hanging} && exec sleep 60"
        self.binary.write_text(f'#!/bin/sh\n{trap}\nexec /usr/bin/fping "$@"\n')
        self.binary.chmod(0o755)

    def hang_once(self) -> None:
        self._asked.touch()

    def is_hanging(self) -> bool:
        return self._hanging.exists()


@pytest.fixture(scope="module")
def fping(tmp_path_factory: pytest.TempPathFactory) -> Fping:
    return Fping(tmp_path_factory.mktemp("fping"))


@pytest.fixture(scope="module")
def stack(fping: Fping) -> Iterator[LiveStack]:
    with live_stack(NMS_FPING=str(fping.binary)) as running:
        running.run(*SHARED, "worker ping", "worker poll.0 poll.1", "worker store")
        yield running


def assert_polled_again(stack: LiveStack, device_id: int, killed_at: datetime) -> None:
    """Once more within the lease and one interval; every slot has one verdict and every ok its sample."""
    ok = "SELECT count(*) FROM polling_verdict WHERE device_id = %s AND kind = 'ok' AND due_at > %s"
    limit = LEASE_SECONDS + 2 * INTERVAL_SECONDS + 10
    wait_until(lambda: stack.count(ok, device_id, killed_at) >= 1, limit)
    wait_until(lambda: stack.count(UNMATCHED) == 0, 5)
    assert stack.count(DOUBLED) == 0


def test_killed_while_pinging(stack: LiveStack, simulator: Simulator, fping: Fping) -> None:
    fping.hang_once()
    (device_id,) = stack.add_devices({"name": "ping", **CREDENTIAL}, simulator.config.addresses()[:1])
    wait_until(fping.is_hanging, 20)
    killed_at = datetime.now(UTC)
    stack.kill("worker ping")
    stack.run("worker ping")
    assert_polled_again(stack, device_id, killed_at)


def test_killed_while_polling_then_while_storing(stack: LiveStack, simulator: Simulator) -> None:
    address = simulator.config.addresses()[1]
    simulator.set_faults({address: Fault.HANG})
    before = simulator.counters(address)["requests"]
    (device_id,) = stack.add_devices({"name": "poll", **CREDENTIAL}, [address])
    wait_until(lambda: simulator.counters(address)["requests"] > before, 20, pause=0.05)
    killed_at = datetime.now(UTC)
    stack.kill("worker poll.0 poll.1")
    simulator.set_faults({address: Fault.NONE})
    stack.run("worker poll.0 poll.1")
    assert_polled_again(stack, device_id, killed_at)

    with psycopg.connect(stack.postgres.url) as blocker:
        blocker.execute("LOCK polling_verdict IN SHARE MODE")  # stops writers, not readers
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: stack.count(waiting) >= 1, 30)
        killed_at = datetime.now(UTC)
        stack.kill("worker store")
    stack.run("worker store")
    assert_polled_again(stack, device_id, killed_at)


JUNK = (
    b"not JSON",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"5",
    b"{}",
    b'{"properties": 5}',
    b'{"body": "", "properties": {}}',
    b'{"body": "!", "properties": {"delivery_tag": "junk-1", "body_encoding": "base64"}}',
    b'{"body": "", "properties": {"delivery_tag": "junk-2", "body_encoding": "rot13"}}',
    b'{"body": "e30=", "headers": {"task": "polling.ping"}, "content-type": "application/json",'
    b' "properties": {"delivery_tag": "junk-3", "body_encoding": "base64", "delivery_info": {}}}',
    b'{"body": "e30=", "headers": 5, "properties": {"delivery_tag": "junk-4", "body_encoding": "base64"}}',
)


def test_what_is_no_message_ends_no_worker(stack: LiveStack, simulator: Simulator) -> None:
    (device_id,) = stack.add_devices({"name": "junk", **CREDENTIAL}, simulator.config.addresses()[2:3])
    put_at = datetime.now(UTC)
    for queue in ("control", "ping", "poll.0", "poll.1", "store"):
        stack.broker().rpush(queue, *JUNK)
    assert_polled_again(stack, device_id, put_at)
    assert all(process.poll() is None for process in stack.processes.values())
    assert int(stack.broker().hget("nms:telemetry", "messages_dropped|") or 0) >= 5 * 6


def test_two_of_everything_double_nothing(simulator: Simulator) -> None:
    workers = [f"worker {queue}#{number}" for queue in ("control", "ping", "store") for number in (1, 2)]
    pollers = [f"worker poll.{shard}#{number}" for shard in (0, 1) for number in (1, 2)]
    addresses = simulator.config.addresses()[3:]
    before = sum(map(simulator.polls, addresses))
    # Time enough for each poll, and until a message counts as lost: twelve processes share this machine with
    # other tests.
    with live_stack(NMS_PLUGIN_TIMEOUT_SECONDS="15", NMS_VISIBILITY_TIMEOUT_SECONDS="120") as stack:
        stack.run("web", *workers, *pollers)
        stack.add_devices({"name": "all", **CREDENTIAL}, addresses)
        stack.run("beat#1", "beat#2")
        good = "SELECT count(*) FROM polling_verdict WHERE kind = 'ok'"
        wait_until(lambda: stack.count(good) >= 120, 90)
        stack.sql("UPDATE devices_pollstate SET next_poll_at = NULL")
        wait_until(
            lambda: stack.count("SELECT count(*) FROM devices_pollstate WHERE leased_until IS NOT NULL") == 0,
            30,
        )
        assert stack.count(DOUBLED) == 0
        assert stack.count(UNMATCHED) == 0
        assert stack.count(good) == sum(map(simulator.polls, addresses)) - before
        # A machine that is slow for a moment is no fault: the next slot finds the poll still at work.
        others = "SELECT DISTINCT kind FROM polling_verdict WHERE kind NOT IN ('ok', 'overrun')"
        assert stack.sql(others) == []
