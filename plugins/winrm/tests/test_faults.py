"""The fault matrix: what each fault of a host becomes, by each transport and each way to collect."""

import hashlib
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from plugins.winrm.simulator.certificate import Certificate
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault
from plugins.winrm.tests.conftest import PASSWORD, PORT, TIMEOUT, TLS_PORT, network, task, winrm_batch

pytestmark = pytest.mark.slow
Cell = tuple[str, str]  # (error_code, words of the message), or ("", "") for success

# The same by every transport, unless OTHERWISE says so: what a host does wrong comes after the login.
EXPECTED: dict[Fault, Cell] = {
    Fault.NONE: ("", ""),
    Fault.NOISE: ("", ""),
    Fault.NO_RESIDENT: ("", ""),
    Fault.NO_SHELLS: ("", ""),
    Fault.NO_CLASSES: ("", ""),
    Fault.WRONG_PASSWORD: ("auth", "refused the login"),
    Fault.ACCESS_DENIED: ("auth", "lacks rights"),
    Fault.SLOW: ("timeout", "in time"),
    Fault.HANG: ("timeout", "in time"),
    Fault.DRIP: ("timeout", "in time"),
    Fault.RESET: ("protocol", "closed the connection"),
    Fault.UNAVAILABLE: ("protocol", "503"),
    Fault.NOT_WINRM: ("protocol", "not WinRM"),
    Fault.SOAP_FAULT: ("protocol", "2150858817"),
    Fault.QUOTA: ("quota", "2150859173"),
    Fault.TRUNCATED_XML: ("protocol", "not WinRM"),
    Fault.SHELLS_LOST: ("protocol", "2150858843"),
    Fault.NON_JSON: ("", ""),  # collected without a script
    Fault.EXIT_CODE: ("", ""),
    Fault.GONE: ("refused", "nothing listens"),
}
OTHERWISE: dict[tuple[str, Fault], Cell] = {
    # Without a shell there is nothing for these to spoil.
    ("cim", Fault.SHELLS_LOST): ("", ""),
    # Asked for by name, nothing else is tried.
    ("powershell", Fault.NON_JSON): ("script", "not JSON"),
    ("powershell", Fault.EXIT_CODE): ("script", "exit code 1: Get-CimInstance"),
    ("powershell_process", Fault.NON_JSON): ("script", "not JSON"),
    ("powershell_process", Fault.EXIT_CODE): ("script", "exit code 1: Get-CimInstance"),
    ("powershell", Fault.NO_RESIDENT): ("script", "exit code 1"),
    ("powershell", Fault.NO_SHELLS): ("auth", "lacks rights: Remote shell access is disabled"),
    ("powershell_process", Fault.NO_SHELLS): ("auth", "lacks rights: Remote shell access is disabled"),
}
HTTP = ("ntlm", "basic")
TLS = ("ntlm", "basic", "credssp", "certificate")
WAYS = ("powershell", "powershell_process", "cim")


def expected(way: str, fault: Fault) -> Cell:
    return OTHERWISE.get((way, fault), EXPECTED[fault])


def check_row(simulator: Simulator, way: str, port: int, **credentials: Any) -> None:
    """A host for each fault, all in one batch: none may harm another."""
    addresses = dict(zip(Fault, simulator.config.addresses(), strict=False))
    assert len(addresses) == len(Fault)
    simulator.set_faults({address: fault for fault, address in addresses.items()})
    tasks = []
    for fault, address in addresses.items():
        code, _ = expected(way, fault)
        timeout = 6 if code == "timeout" else TIMEOUT
        tasks.append(task(address, timeout=timeout, port=port, **credentials))
    results = winrm_batch(tasks)
    for fault, address in addresses.items():
        code, words = expected(way, fault)
        result = results[address]
        assert (fault, result.get("error_code", "")) == (fault, code), result
        assert words in result.get("error", "")
        if not code:
            assert result["data"]["system"]["hostname"]


@pytest.fixture(scope="module")
def client() -> Certificate:
    return Certificate.made("monitor")


@pytest.fixture(scope="module")
def tls_simulator(client: Certificate) -> Iterator[Simulator]:
    config = FleetConfig(
        network=network(4),
        count=len(Fault),
        port=TLS_PORT,
        password=PASSWORD,
        latency_seconds=0.02,
        use_tls=True,
        is_strict=True,
        client_ca=client.pem,
        transports=TLS,
    )
    with Simulator(config) as running:
        yield running


def test_the_matrix_knows_every_fault() -> None:
    assert set(EXPECTED) == set(Fault)


@pytest.mark.parametrize("transport", HTTP)
def test_over_http(simulator: Simulator, transport: str) -> None:
    check_row(simulator, "auto", PORT, transport=transport)


@pytest.mark.parametrize("transport", TLS)
def test_over_https(tls_simulator: Simulator, client: Certificate, transport: str) -> None:
    der = ssl.PEM_cert_to_DER_cert(tls_simulator.certificate)
    credentials: dict[str, Any] = {
        "transport": transport,
        "cert_fingerprint": hashlib.sha256(der).hexdigest(),
    }
    if transport == "certificate":
        credentials |= {"client_cert": client.pem, "client_key": client.key_pem}
    check_row(tls_simulator, "auto", TLS_PORT, **credentials)


@pytest.mark.parametrize("way", WAYS)
def test_by_each_way(simulator: Simulator, way: str) -> None:
    check_row(simulator, way, PORT, collect=way)


def test_a_wrong_password_and_a_wrong_user_are_auth_and_cost_one_login_each(simulator: Simulator) -> None:
    address = simulator.config.addresses()[0]
    wrongs: tuple[dict[str, Any], ...] = (
        {"password": "wrong"},
        {"username": "nobody"},
        {"transport": "basic", "password": "wrong"},
    )
    for wrong in wrongs:
        before = simulator.counters(address)["refused_logins"]
        assert winrm_batch([task(address, **wrong)])[address]["error_code"] == "auth"
        assert simulator.counters(address)["refused_logins"] == before + 1
