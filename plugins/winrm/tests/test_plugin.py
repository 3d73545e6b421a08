"""The WinRM plugin in batch mode, against simulated hosts over real sockets with real NTLM."""

import json
import subprocess

import pytest

from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault
from plugins.winrm.tests.conftest import PASSWORD, PLUGIN, PORT, network, task, winrm_batch
from polling.runner import environment

pytestmark = pytest.mark.slow
WAYS = ("powershell", "powershell_process", "cim")


def test_every_way_gives_the_same_document(simulator: Simulator) -> None:
    address = simulator.config.addresses()[0]
    results = winrm_batch([task(address, name=way, collect=way) for way in WAYS])
    documents = [results[way]["data"] for way in WAYS]
    for document in documents:
        assert set(document) == {"cpu", "memory", "disk", "network", "system"}
        assert set(document["cpu"]) == {"total", "0", "1", "2", "3"}
        assert 0 <= document["cpu"]["total"] <= 100
        assert document["memory"]["total"] == document["memory"]["free"] + document["memory"]["used"]
        assert list(document["disk"]["drives"]) == ["C:"]
        assert list(document["network"]["interfaces"]) == ["Ethernet"]
    assert documents[0]["system"]["os"] == documents[1]["system"]["os"] == documents[2]["system"]["os"]
    assert documents[0]["memory"]["total"] == documents[2]["memory"]["total"]
    assert {result["hostname"] for result in results.values()} == {documents[0]["system"]["hostname"]}


def test_a_host_in_another_language_by_every_way() -> None:
    config = FleetConfig(
        network=network(3), count=1, password=PASSWORD, latency_seconds=0.02, is_localised=True
    )
    with Simulator(config) as simulator:
        (address,) = config.addresses()
        simulator.set_faults({address: Fault.NOISE})
        results = winrm_batch([task(address, name=way, collect=way) for way in WAYS])
    for way in WAYS:
        document = results[way]["data"]
        assert document["system"]["hostname"].startswith("СЕРВЕР-")
        assert document["system"]["os"].startswith("Майкрософт")
        assert list(document["network"]["interfaces"]) == ["Сетевой адаптер Intel[R] _2"]
        assert 0 < document["cpu"]["total"] <= 100


def test_what_a_first_poll_costs_the_host(simulator: Simulator) -> None:
    """Rates in the first document take two readings, but one PowerShell, or none."""
    costs = {}
    for index, way in enumerate(WAYS):
        address = simulator.config.addresses()[index]
        before = simulator.counters(address)
        winrm_batch([task(address, collect=way)])
        after = simulator.counters(address)
        costs[way] = (
            after["processes"] - before["processes"],
            after["shells_opened"] - before["shells_opened"],
        )
    assert costs == {"powershell": (1, 1), "powershell_process": (1, 1), "cim": (0, 0)}


def test_a_domain_means_ntlm_where_basic_is_named() -> None:
    """Basic knows local accounts only, and would send a domain's password readable."""
    config = FleetConfig(network=network(5), count=1, password=PASSWORD, domain="CORP", latency_seconds=0.02)
    with Simulator(config) as simulator:
        (address,) = config.addresses()
        result = winrm_batch([task(address, transport="basic", domain="CORP")], "-discovery")[address]
        counters = simulator.counters()
    assert result["success"], result
    assert counters["logins"] == 1
    assert counters["requests"] > 3  # the legs of NTLM


def test_discovers_by_hostname(simulator: Simulator) -> None:
    addresses = simulator.config.addresses()[:3]
    before = simulator.counters()["processes"]
    results = winrm_batch([task(address) for address in addresses], "-discovery")
    assert all(results[address]["hostname"].startswith("WIN-") for address in addresses)
    assert all("data" not in results[address] for address in addresses)
    assert simulator.counters()["processes"] == before


def test_discovers_by_shell_where_enumerating_is_not_possible(simulator: Simulator) -> None:
    address = simulator.config.addresses()[0]
    results = winrm_batch([task(address, collect="powershell")], "-discovery")
    assert results[address]["hostname"].startswith("WIN-")


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
    results = winrm_batch([broken, {**task(address), "credentials": text, "unknown": 1}])
    assert results["broken"]["error_code"] == "internal"
    assert "username is needed" in results["broken"]["error"]
    assert results[address]["success"]


def test_the_deadline_holds_against_a_hanging_host_and_delays_no_other(simulator: Simulator) -> None:
    hanging, dripping, *others = simulator.config.addresses()[:8]
    simulator.set_faults({hanging: Fault.HANG, dripping: Fault.DRIP})
    results = winrm_batch([task(address, timeout=8) for address in (hanging, dripping, *others)])
    for address in (hanging, dripping):
        assert results[address]["error_code"] == "timeout"
        assert 7_900 <= results[address]["duration_ms"] <= 10_000
    for address in others:
        assert results[address]["success"]
        assert results[address]["duration_ms"] < 7_900
