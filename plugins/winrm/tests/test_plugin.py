"""The WinRM plugin as the host runs it, against simulated hosts over real sockets with real NTLM."""

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from plugins.contract import Task
from plugins.registry import load
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault
from polling.runner import environment
from polling.stream import StreamRunner

PLUGIN = load(Path(__file__).resolve().parents[2]).plugins["winrm"]
PASSWORD = "s3cret-of-the-simulator"
PORT = 5985


def network(offset: int) -> str:
    """Addresses of their own for each parallel test process."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return f"127.{40 + worker}.{offset}.0/24"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    config = FleetConfig(network=network(1), count=12, port=PORT, password=PASSWORD, latency_seconds=0.02)
    with Simulator(config) as running:
        yield running


@pytest.fixture(autouse=True)
def _healthy(simulator: Simulator) -> Iterator[None]:
    yield
    simulator.set_faults(dict.fromkeys(simulator.config.addresses(), Fault.NONE))


def task(target: str, *, timeout: float = 8, **credentials: Any) -> dict[str, Any]:
    secret = {"username": "monitor", "password": PASSWORD, **credentials}
    return {
        "request_id": target,
        "target": target,
        "port": PORT,
        "credentials": secret,
        "timeout_seconds": timeout,
    }


def batch(tasks: Sequence[Any], *arguments: str) -> dict[str, dict[str, Any]]:
    assert PLUGIN.executable
    done = subprocess.run(
        [str(PLUGIN.executable), *arguments],
        input=json.dumps(tasks).encode(),
        capture_output=True,
        timeout=60,
        check=True,
        env=environment(),
    )
    assert PASSWORD.encode() not in done.stdout + done.stderr
    return {result["request_id"]: result for result in json.loads(done.stdout)}


@pytest.fixture
def runner() -> Iterator[StreamRunner]:
    made = StreamRunner(PLUGIN, in_flight=100, silence_seconds=30)
    yield made
    made.close()


def stream(runner: StreamRunner, addresses: Sequence[str]) -> None:
    secret = {"username": "monitor", "password": PASSWORD}
    tasks = [Task(address, address, PORT, secret, 8) for address in addresses]
    for results in runner.run(tasks, start_within_seconds=5):
        for result in results:
            assert result.success, result.error


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
def test_polls_the_whole_document(simulator: Simulator, transport: str) -> None:
    (address, *_) = simulator.config.addresses()
    result = batch([task(address, transport=transport)])[address]
    assert result["success"], result
    document = result["data"]
    assert set(document) == {"cpu", "memory", "disk", "network", "system"}
    assert 0 <= document["cpu"]["total"] <= 100
    memory = document["memory"]
    assert memory["total"] == memory["free"] + memory["used"]
    assert document["disk"]["drives"]["C:"].keys() == {"total", "free"}
    assert document["network"]["interfaces"]["Ethernet"].keys() == {"rx", "tx"}
    assert result["hostname"] == document["system"]["hostname"]


def test_discovers_by_hostname(simulator: Simulator) -> None:
    addresses = simulator.config.addresses()[:3]
    results = batch([task(address) for address in addresses], "-discovery")
    assert all(results[address]["hostname"].startswith("WIN-") for address in addresses)
    assert all("data" not in results[address] for address in addresses)


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (Fault.WRONG_PASSWORD, "auth", "refused the login"),
        (Fault.SLOW, "timeout", "in time"),
        (Fault.HANG, "timeout", "in time"),
        (Fault.RESET, "protocol", "closed the connection"),
        (Fault.SOAP_FAULT, "protocol", "2150858817"),
        (Fault.QUOTA, "quota", "2150859173"),
        (Fault.TRUNCATED_XML, "protocol", "not WinRM"),
        (Fault.NON_JSON, "script", "not JSON"),
        (Fault.EXIT_CODE, "script", "exit code 1: Get-CimInstance"),
        (Fault.GONE, "refused", "nothing listens"),
    ],
)
def test_each_fault_has_its_code_and_harms_no_other_host(
    simulator: Simulator, fault: Fault, code: str, words: str
) -> None:
    bad, good = simulator.config.addresses()[:2]
    simulator.set_faults({bad: fault})
    results = batch([task(bad, timeout=2), task(good)])
    assert results[good]["success"]
    assert (results[bad]["success"], results[bad]["error_code"]) == (False, code)
    assert words in results[bad]["error"]


def test_a_wrong_password_and_a_wrong_user_are_auth(simulator: Simulator) -> None:
    address = simulator.config.addresses()[0]
    wrongs: tuple[dict[str, Any], ...] = (
        {"password": "wrong"},
        {"username": "nobody"},
        {"transport": "basic", "password": "wrong"},
    )
    for wrong in wrongs:
        assert batch([task(address, **wrong)])[address]["error_code"] == "auth"


@pytest.mark.parametrize("stdin", [b"", b" \n", b"[]", b"\xef\xbb\xbf[]"])
def test_nothing_in_is_an_empty_array_out(stdin: bytes) -> None:
    assert PLUGIN.executable
    done = subprocess.run(
        [str(PLUGIN.executable)], input=stdin, capture_output=True, timeout=30, check=True, env=environment()
    )
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("stdin", [b"{", b"{}", b"nonsense"])
def test_unusable_input_is_an_exit_code_and_words(stdin: bytes) -> None:
    assert PLUGIN.executable
    done = subprocess.run(
        [str(PLUGIN.executable)], input=stdin, capture_output=True, timeout=30, check=False, env=environment()
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"stdin" in done.stderr


def test_a_task_that_lacks_something_fails_alone(simulator: Simulator) -> None:
    address = simulator.config.addresses()[0]
    broken = {"request_id": "broken", "target": address, "port": PORT, "credentials": {}}
    text = json.dumps(task(address)["credentials"])
    results = batch([broken, {**task(address), "credentials": text, "unknown": 1}])
    assert results["broken"]["error_code"] == "internal"
    assert "username and password" in results["broken"]["error"]
    assert results[address]["success"]


def test_kept_sessions_need_three_round_trips_and_no_login(
    simulator: Simulator, runner: StreamRunner
) -> None:
    addresses = simulator.config.addresses()
    stream(runner, addresses)
    before = simulator.counters()
    for _ in range(5):
        stream(runner, addresses)
    after = simulator.counters()
    assert after["logins"] == before["logins"]
    assert after["shells_opened"] == before["shells_opened"]
    assert after["requests"] - before["requests"] == 3 * 5 * len(addresses)


def test_every_shell_is_deleted_at_the_end(simulator: Simulator) -> None:
    runner = StreamRunner(PLUGIN, in_flight=100, silence_seconds=30)
    before = simulator.counters()
    stream(runner, simulator.config.addresses())
    runner.close()
    after = simulator.counters()
    opened = after["shells_opened"] - before["shells_opened"]
    assert opened == after["shells_closed"] - before["shells_closed"] == len(simulator.config.addresses())


def test_sigterm_in_the_middle_deletes_the_shells(simulator: Simulator) -> None:
    address = simulator.config.addresses()[0]
    before = simulator.counters()
    assert PLUGIN.executable
    with subprocess.Popen(
        [str(PLUGIN.executable), "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(task(address)).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["success"]
        simulator.set_faults({address: Fault.SLOW})
        process.stdin.write(json.dumps(task(address)).encode() + b"\n")
        process.stdin.flush()
        process.terminate()
        process.wait(10)
    after = simulator.counters()
    assert (
        after["shells_opened"] - before["shells_opened"] == after["shells_closed"] - before["shells_closed"]
    )


def test_a_lost_connection_is_rebuilt_without_a_failed_poll(
    simulator: Simulator, runner: StreamRunner
) -> None:
    address = simulator.config.addresses()[0]
    stream(runner, [address])
    before = simulator.counters(address)
    simulator.set_faults({address: Fault.GONE})
    simulator.set_faults({address: Fault.NONE})
    stream(runner, [address])
    after = simulator.counters(address)
    assert after["logins"] == before["logins"] + 1
    assert after["shells_opened"] == before["shells_opened"]


def test_https_with_its_own_authority_and_without_verification() -> None:
    config = FleetConfig(network=network(2), count=1, port=5986, password=PASSWORD, use_tls=True)
    with Simulator(config) as simulator:
        address = config.addresses()[0]
        insecure = {**task(address, verify=False), "port": 5986}
        assert batch([insecure])[address]["success"]
        refused = batch([{**task(address), "port": 5986}])[address]
        assert refused["error_code"] == "protocol"
        assert "TLS failed" in refused["error"]
        assert simulator.counters()["logins"] == 1
