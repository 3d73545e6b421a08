"""Transports and trust: whom the plugin lets see a password, and who may log in how."""

import hashlib
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from winrm.exceptions import InvalidCredentialsError
from winrm.protocol import Protocol

from plugins.winrm.connection import EXTRAS
from plugins.winrm.simulator.certificate import Certificate
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.tests.conftest import PASSWORD, TLS_PORT, network, task, winrm_batch

CLIENT = Certificate.made("monitor")


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    config = FleetConfig(
        network=network(2),
        count=2,
        port=TLS_PORT,
        password=PASSWORD,
        use_tls=True,
        is_strict=True,
        client_ca=CLIENT.pem,
        transports=("ntlm", "basic", "certificate"),
    )
    with Simulator(config) as running:
        yield running


def fingerprint(simulator: Simulator) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(simulator.certificate)).hexdigest()


def poll(simulator: Simulator, **credentials: Any) -> dict[str, Any]:
    address = simulator.config.addresses()[0]
    return winrm_batch([task(address, port=TLS_PORT, **credentials)])[address]


def test_trusted_by_its_authority_by_its_fingerprint_or_by_choice(simulator: Simulator) -> None:
    colons = ":".join(fingerprint(simulator)[index : index + 2].upper() for index in range(0, 64, 2))
    for trust in (
        {"ca_cert": simulator.certificate},
        {"cert_fingerprint": fingerprint(simulator)},
        {"cert_fingerprint": colons},
        {"verify": False},
    ):
        assert poll(simulator, **trust)["success"], trust


@pytest.mark.parametrize(
    ("trust", "words"),
    [
        ({}, "self-signed certificate"),
        ({"cert_fingerprint": "00" * 32}, "Fingerprints did not match"),
        ({"cert_fingerprint": "00" * 32, "verify": False}, "Fingerprints did not match"),
        ({"ca_cert": CLIENT.pem}, "certificate verify failed"),
    ],
)
def test_a_host_that_is_not_trusted_sees_no_login(
    simulator: Simulator, trust: dict[str, Any], words: str
) -> None:
    before = simulator.counters()
    result = poll(simulator, **trust)
    after = simulator.counters()
    assert result["error_code"] == "protocol"
    assert result["error"].startswith("TLS failed")
    assert words in result["error"]
    assert after["requests"] == before["requests"]


def test_the_name_in_the_certificate_must_fit() -> None:
    config = FleetConfig(network="127.99.7.0/29", count=1, port=TLS_PORT, password=PASSWORD, use_tls=True)
    with Simulator(config) as simulator:
        result = poll(simulator, ca_cert=simulator.certificate)
    assert "IP address mismatch" in result["error"]


def test_ntlm_is_bound_to_the_channel(simulator: Simulator) -> None:
    """The host is strict: the same login without its binding is refused."""
    assert poll(simulator, ca_cert=simulator.certificate)["success"]
    unbound = Protocol(
        endpoint=f"https://{simulator.config.addresses()[0]}:{TLS_PORT}/wsman",
        transport="ntlm",
        username="monitor",
        password=PASSWORD,
        server_cert_validation="ignore",
        send_cbt=False,
        proxy=None,
    )
    with pytest.raises(InvalidCredentialsError):
        unbound.open_shell()
    unbound.transport.close_session()


def test_a_client_certificate_logs_in(simulator: Simulator) -> None:
    result = poll(
        simulator,
        transport="certificate",
        client_cert=CLIENT.pem,
        client_key=CLIENT.key_pem,
        ca_cert=simulator.certificate,
    )
    assert result["success"], result


def test_a_client_certificate_of_somebody_else_does_not(simulator: Simulator) -> None:
    other = Certificate.made("somebody else")
    result = poll(
        simulator, transport="certificate", client_cert=other.pem, client_key=other.key_pem, verify=False
    )
    assert not result["success"]
    assert result["error_code"] in ("auth", "protocol")


@pytest.mark.parametrize(
    ("credentials", "words"),
    [
        ({"ca_cert": "nonsense"}, "ca_cert is no certificate"),
        ({"cert_fingerprint": "00"}, "cert_fingerprint must be SHA-256"),
        ({"transport": "certificate"}, "client_cert is needed"),
        (
            {"transport": "certificate", "client_cert": CLIENT.pem, "client_key": "x"},
            "client_cert and client_key",
        ),
        (
            {"transport": "certificate", "scheme": "http", "client_cert": "x", "client_key": "x"},
            "needs scheme https",
        ),
        ({"transport": "telepathy"}, "transport must be one of"),
    ],
)
def test_credentials_that_cannot_be_used_name_the_field(
    simulator: Simulator, credentials: dict[str, Any], words: str
) -> None:
    before = simulator.counters()["requests"]
    result = poll(simulator, **credentials)
    assert result["error_code"] == "internal"
    assert words in result["error"]
    assert simulator.counters()["requests"] == before


@pytest.mark.skipif(
    EXTRAS["kerberos"], reason="pykerberos is installed here: there is nothing missing to name"
)
def test_a_transport_without_its_package_names_the_extra(simulator: Simulator) -> None:
    result = poll(simulator, transport="kerberos")
    assert result["error_code"] == "internal"
    assert "pip install 'pywinrm[kerberos]'" in result["error"]
