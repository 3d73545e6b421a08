"""What is too large is refused before it costs anything."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest
import requests

from bench.measure import resident_mib
from nms_project.stack.live import LiveStack, live_stack, wait_until
from plugins.lab.daemons import descendants

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
GIB = 1024**3
MIB_ALLOWED = 50
THREADS = 4


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    with live_stack(
        NMS_WEB_PROCESSES="1", NMS_WEB_THREADS=str(THREADS), NMS_REQUEST_TIMEOUT_SECONDS="2"
    ) as running:
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
    """The head of the answer; the body that `head` announces need not come."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n" + body)
        return b"".join(iter(connection.makefile("rb").readline, b"\r\n")).decode()


def test_no_client_says_below_which_path_we_are(stack: LiveStack) -> None:
    head = "GET /healthz HTTP/1.1\nHost: 127.0.0.1\nSCRIPT_NAME: /x\nPATH_INFO: /nonsense\n"
    assert " 200 " in answer_to(stack, head)


def test_a_client_whose_token_has_expired_logs_in_again(stack: LiveStack) -> None:
    stack.client.session.headers["Authorization"] = "Bearer expired"
    assert stack.client.get("credentials")["count"] == 1


def test_a_request_that_waits_too_long_is_ended(stack: LiveStack) -> None:
    with psycopg.connect(stack.postgres.url) as other:
        other.execute("LOCK devices_credentialprofile")
        url = f"{stack.client.base_url}/api/v1/credentials"
        answer = stack.client.session.get(url, timeout=20)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "fewer devices" in answer.json()["error"]["message"]
    assert stack.client.get("credentials")["count"] == 1


def test_clients_that_stand_still_are_no_end_of_work(stack: LiveStack) -> None:
    """One for each thread, with a byte now and then."""
    head = (
        "POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    )
    with ExitStack() as held:
        slow = [
            held.enter_context(socket.create_connection(("127.0.0.1", stack.port), timeout=10))
            for _ in range(THREADS)
        ]
        for number, client in enumerate(slow):
            client.sendall(head[: 20 if number % 2 else None].encode())
        time.sleep(0.5)  # each has its thread by then
        assert not is_healthy(stack)
        wait_until(lambda: all(map(drip, slow)) or is_healthy(stack), 10)


def drip(client: socket.socket) -> bool:
    """False for now: the client goes on."""
    with suppress(OSError):
        client.send(b"x")
    return False


def is_healthy(stack: LiveStack) -> bool:
    try:
        return requests.get(f"{stack.client.base_url}/healthz", timeout=0.5).ok
    except requests.Timeout:
        return False


def test_an_answer_that_nobody_takes_is_given_up(stack: LiveStack) -> None:
    asked = b"GET /api/v1/schema HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with ExitStack() as held:
        for _ in range(THREADS):
            client = held.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", stack.port))
            client.sendall(asked * 100)
        wait_until(lambda: not is_healthy(stack), 10, pause=0)  # the buffers are full, each thread waits
        wait_until(lambda: is_healthy(stack), 10)


@pytest.mark.usefixtures("_bounded")
@pytest.mark.parametrize("path", ["api/v1/devices", "api/v1/devices/import", "login", "admin/login/"])
def test_two_gigabytes_are_refused_unread(stack: LiveStack, path: str) -> None:
    head = (
        f"POST /{path} HTTP/1.1\nHost: 127.0.0.1\nContent-Type: application/json\nContent-Length: {2 * GIB}\n"
    )
    token = str(stack.client.session.headers["Authorization"])
    refused = answer_to(stack, f"{head}Authorization: {token}\n")
    assert " 413 " in refused
    assert "Connection: close" in refused  # what would come next on it is the body
    assert " 413 " in answer_to(stack, f"{head}Authorization: {token}\n", b"[" * 100_000)
    padded = head.replace("Length: ", f"Length: {'0' * 30}")
    assert " 413 " in answer_to(stack, f"{padded}Authorization: {token}\n")


@pytest.mark.parametrize(("size", "says"), [(1_000, "keep-alive"), (70_000, "close")])
def test_a_connection_goes_on_after_what_was_left_unread_or_says_that_it_ends(
    stack: LiveStack, size: int, says: str
) -> None:
    head = f"POST /api/v1/devices HTTP/1.1\nHost: 127.0.0.1\nAuthorization: no\nContent-Length: {size}\n"
    refused = answer_to(stack, head, b"x" * size)
    assert " 401 " in refused
    assert f"Connection: {says}" in refused


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


def test_a_frozen_postgresql_holds_no_thread_for_long(stack: LiveStack) -> None:
    """Its processes are stopped: the kernel still takes what is sent to them."""
    url = f"http://127.0.0.1:{stack.port}"
    assert stack.postgres.process
    postmaster = stack.postgres.process.pid
    with ThreadPoolExecutor(2 * THREADS) as pool:
        stopped = [postmaster, *descendants(postmaster)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            lists = [pool.submit(_status, stack, "devices") for _ in range(2 * THREADS)]
            assert {answer.result() for answer in lists} == {503}
            assert requests.get(f"{url}/healthz", timeout=30).status_code == 503
            assert time.monotonic() - started < 45
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
    wait_until(lambda: requests.get(f"{url}/healthz", timeout=30).status_code == 200, 30)
    assert _status(stack, "devices") == 200


def _status(stack: LiveStack, path: str) -> int:
    headers = {"Authorization": str(stack.client.session.headers["Authorization"])}
    return requests.get(
        f"http://127.0.0.1:{stack.port}/api/v1/{path}", headers=headers, timeout=90
    ).status_code
