"""Workers killed with SIGKILL in each stage, two of everything, and two schedulers: each slot once."""

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from nms_project.stack.live import LiveStack, live_stack, wait_until
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

CREDENTIAL = {"name": "kill", "protocol": "winrm", "payload": {"username": "monitor", "password": "s3cret"}}
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


@pytest.fixture
def fping_that_hangs_once(tmp_path: Path) -> Path:
    binary = tmp_path / "fping"
    mark = tmp_path / "hanging"
    binary.write_text(
        f'#!/bin/sh\n[ -e {mark} ] || {{ touch {mark}; exec sleep 60; }}\nexec /usr/bin/fping "$@"\n'
    )
    binary.chmod(0o755)
    return binary


def assert_polled_again(stack: LiveStack, killed_at: float) -> None:
    """Once more within the lease and one interval; every slot has one verdict and every ok its sample."""
    ok = "SELECT count(*) FROM polling_verdict WHERE kind = 'ok' AND due_at > to_timestamp(%s)"
    limit = LEASE_SECONDS + 2 * INTERVAL_SECONDS + 10
    wait_until(lambda: stack.count(ok, killed_at) >= 1, limit)
    wait_until(lambda: stack.count(UNMATCHED) == 0, 5)
    assert stack.count(DOUBLED) == 0


def test_killed_while_pinging(simulator: Simulator, fping_that_hangs_once: Path) -> None:
    with live_stack(NMS_FPING=str(fping_that_hangs_once)) as stack:
        stack.run(*SHARED, "worker ping", "worker poll.0 poll.1", "worker store")
        stack.add_devices(CREDENTIAL, simulator.config.addresses()[:1])
        wait_until((fping_that_hangs_once.parent / "hanging").exists, 20)
        killed_at = time.time()
        stack.kill("worker ping")
        stack.run("worker ping")
        assert_polled_again(stack, killed_at)


def test_killed_while_polling_then_while_storing(simulator: Simulator) -> None:
    address = simulator.config.addresses()[0]
    simulator.set_faults({address: Fault.HANG})
    with live_stack() as stack:
        stack.run(*SHARED, "worker ping", "worker poll.0 poll.1", "worker store")
        before = simulator.counters(address)["requests"]
        stack.add_devices(CREDENTIAL, [address])
        wait_until(lambda: simulator.counters(address)["requests"] > before, 20, pause=0.05)
        killed_at = time.time()
        stack.kill("worker poll.0 poll.1")
        simulator.set_faults({address: Fault.NONE})
        stack.run("worker poll.0 poll.1")
        assert_polled_again(stack, killed_at)

        with psycopg.connect(stack.postgres.url) as blocker:
            blocker.execute("LOCK polling_verdict IN SHARE MODE")  # stops writers, not readers
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            wait_until(lambda: stack.count(waiting) >= 1, 30)
            killed_at = time.time()
            stack.kill("worker store")
        stack.run("worker store")
        assert_polled_again(stack, killed_at)


def test_two_of_everything_double_nothing(simulator: Simulator) -> None:
    workers = [f"worker {queue}#{number}" for queue in ("control", "ping", "store") for number in (1, 2)]
    pollers = [f"worker poll.{shard}#{number}" for shard in (0, 1) for number in (1, 2)]
    before = simulator.polls()
    # Time enough for each poll, and until a message counts as lost: twelve processes share this machine with
    # other tests.
    with live_stack(NMS_PLUGIN_TIMEOUT_SECONDS="15", NMS_VISIBILITY_TIMEOUT_SECONDS="120") as stack:
        stack.run("web", *workers, *pollers)
        stack.add_devices(CREDENTIAL, simulator.config.addresses())
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
        assert stack.count(good) == simulator.polls() - before
        # A machine that is slow for a moment is no fault: the next slot finds the poll still at work.
        others = "SELECT DISTINCT kind FROM polling_verdict WHERE kind NOT IN ('ok', 'overrun')"
        assert stack.sql(others) == []
