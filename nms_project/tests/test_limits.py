"""What is too large is refused before it costs anything."""

import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bench.measure import resident_mib
from nms_project.stack.live import LiveStack, live_stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
GIB = 1024**3
MIB_ALLOWED = 50


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    with live_stack(NMS_WEB_PROCESSES="1", NMS_REQUEST_TIMEOUT_SECONDS="2") as running:
        running.run("web")
        running.client.post("credentials", {"name": "ping", "protocol": "icmp", "payload": {}})
        running.client.get("discovery_profiles")  # what is loaded with the first request is loaded
        yield running


@pytest.fixture
def _bounded(stack: LiveStack) -> Iterator[None]:
    before = memory_mib(stack)
    yield
    assert memory_mib(stack) - before < MIB_ALLOWED


def memory_mib(stack: LiveStack) -> float:
    master = stack.processes["web"].pid
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    return sum(resident_mib(int(pid)) for pid in children)


def answer_to(stack: LiveStack, head: str, body: bytes = b"") -> str:
    """The status line of the answer; the body that `head` announces need not come."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
        return connection.makefile("rb").readline().decode()


def test_no_client_says_below_which_path_we_are(stack: LiveStack) -> None:
    head = "GET /healthz HTTP/1.1\nHost: 127.0.0.1\nSCRIPT_NAME: /x\nPATH_INFO: /nonsense\n"
    assert " 200 " in answer_to(stack, head)


def test_a_request_that_waits_too_long_is_ended(stack: LiveStack) -> None:
    with psycopg.connect(stack.postgres.url) as other:
        other.execute("LOCK devices_credentialprofile")
        url = f"{stack.client.base_url}/api/v1/credentials"
        answer = stack.client.session.get(url, timeout=20)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "fewer devices" in answer.json()["error"]["message"]
    assert stack.client.get("credentials")["count"] == 1


@pytest.mark.usefixtures("_bounded")
@pytest.mark.parametrize("path", ["api/v1/devices", "api/v1/devices/import", "login", "admin/login/"])
def test_two_gigabytes_are_refused_unread(stack: LiveStack, path: str) -> None:
    head = (
        f"POST /{path} HTTP/1.1\nHost: 127.0.0.1\nContent-Type: application/json\nContent-Length: {2 * GIB}\n"
    )
    token = str(stack.client.session.headers["Authorization"])
    assert " 413 " in answer_to(stack, f"{head}Authorization: {token}\n")
    assert " 413 " in answer_to(stack, f"{head}Authorization: {token}\n", b"[" * 100_000)
    padded = head.replace("Length: ", f"Length: {'0' * 30}")
    assert " 413 " in answer_to(stack, f"{padded}Authorization: {token}\n")


@pytest.mark.usefixtures("_bounded")
@pytest.mark.parametrize("target", ["10.0.0.0/8", "::/0", "0.0.0.0-255.255.255.255", "10.0.0.0/8," * 999])
def test_a_network_too_large_is_refused(stack: LiveStack, target: str) -> None:
    body = {"name": "all", "target": target, "credential_profile_id": 1}
    url = f"{stack.client.base_url}/api/v1/discovery_profiles"
    answer = stack.client.session.post(url, json=body, timeout=10)
    assert answer.status_code == 400
    assert "target" in answer.json()["error"]["fields"]


@pytest.mark.usefixtures("_bounded")
@pytest.mark.parametrize(
    "body", ["[" * 900_000, '{"a":' * 180_000, f"[{'0,' * 400_000}0]", '"' + "\\u0000" * 150_000 + '"']
)
def test_a_hostile_body_is_refused(stack: LiveStack, body: str) -> None:
    url = f"{stack.client.base_url}/api/v1/devices"
    answer = stack.client.session.post(url, body, headers={"Content-Type": "application/json"}, timeout=10)
    assert answer.status_code == 400
