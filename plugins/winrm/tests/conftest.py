"""Simulated hosts, and tasks for them."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from plugins.contract import Task
from plugins.tests.process import PLUGINS, batch, worker_number
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault
from polling.stream import StreamRunner

PLUGIN = PLUGINS["winrm"]
PASSWORD = "s3cret-of-the-simulator"
PORT = 5985
TLS_PORT = 5986
TIMEOUT = 30.0  # seconds: other tests keep the machine busy


def network(offset: int) -> str:
    return f"127.{40 + worker_number()}.{offset}.0/24"


def task(
    target: str, *, timeout: float = TIMEOUT, port: int = PORT, name: str = "", **credentials: Any
) -> dict[str, Any]:
    """`name` is the request id where one target has several tasks."""
    return {
        "request_id": name or target,
        "target": target,
        "port": port,
        "credentials": {"username": "monitor", "password": PASSWORD, **credentials},
        "timeout_seconds": timeout,
    }


def winrm_batch(tasks: Sequence[Any], *arguments: str) -> dict[str, dict[str, Any]]:
    return batch(PLUGIN, tasks, *arguments, secrets=[PASSWORD])


def poll_all(
    runner: StreamRunner, addresses: Sequence[str], *, timeout: float = TIMEOUT, **credentials: Any
) -> list[Any]:
    """One poll of each, in stream mode; the results as they came."""
    secret = {"username": "monitor", "password": PASSWORD, **credentials}
    tasks = [Task(address, address, PORT, secret, timeout) for address in addresses]
    return [result for results in runner.run(tasks, start_within_seconds=5) for result in results]


def poll_ok(runner: StreamRunner, addresses: Sequence[str], **credentials: Any) -> None:
    for result in poll_all(runner, addresses, **credentials):
        assert result.success, result.error


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    config = FleetConfig(network=network(1), count=24, port=PORT, password=PASSWORD, latency_seconds=0.02)
    with Simulator(config) as running:
        yield running


@pytest.fixture(autouse=True)
def _healthy(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "simulator" in request.fixturenames:
        simulator = request.getfixturevalue("simulator")
        simulator.set_faults(dict.fromkeys(simulator.config.addresses(), Fault.NONE))


@pytest.fixture
def runner() -> Iterator[StreamRunner]:
    made = StreamRunner(PLUGIN, in_flight=100, silence_seconds=30)
    yield made
    made.close()
