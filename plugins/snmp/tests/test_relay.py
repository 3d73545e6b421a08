"""What this machine cannot send is its own fault, also behind the relay; lost datagrams are not."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from plugins.lab.snmp_agent import PORT, Agent
from plugins.snmp.relay import LOOPBACK, Relay
from plugins.snmp.tests.test_plugin import PLUGIN, address, task, user
from plugins.tests.process import batch

AUTHENTIC_AND_PRIVATE = b"\x04\x01\x07"  # msgFlags (RFC 3412, section 6.4), reportable


def test_an_error_of_this_machine_is_kept() -> None:
    async def send() -> OSError | None:
        relay = await Relay.open("255.255.255.255", 9)  # which the kernel refuses to send to
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", (LOOPBACK, relay.port))
            for _ in range(100):
                await asyncio.sleep(0.01)
                if relay.error:
                    break
        relay.close()
        return relay.error

    assert isinstance(asyncio.run(send()), PermissionError)


@contextmanager
def lossy(target: str, *, lost: int) -> Iterator[int]:
    """A port at `target` that passes datagrams on to its agent, but for the first encrypted ones."""
    outside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    outside.bind((target, 0))
    inside.connect((target, PORT))
    clients: list[Any] = []

    def forward() -> None:
        left = lost
        while True:
            data, client = outside.recvfrom(65_536)
            if not data:
                return
            clients[:] = [client]
            if AUTHENTIC_AND_PRIVATE in data[:40] and left:
                left -= 1
                continue
            inside.send(data)

    def back() -> None:
        while data := inside.recv(65_536):
            outside.sendto(data, clients[0])

    threads = [threading.Thread(target=forward, daemon=True), threading.Thread(target=back, daemon=True)]
    for thread in threads:
        thread.start()
    try:
        yield outside.getsockname()[1]
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
            ending.sendto(b"", outside.getsockname())
        inside.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)
        outside.close()
        inside.close()


@pytest.mark.slow
@pytest.mark.parametrize("is_wrong", [False, True])
def test_lost_encrypted_requests_are_no_wrong_password(is_wrong: bool) -> None:
    target = address(60)
    with Agent(target), lossy(target, lost=2) as port:
        credentials = user("shaaes") | ({"priv_password": "wrong-privacy"} if is_wrong else {})
        result = batch(PLUGIN, [{**task(target, name="1", timeout=20, **credentials), "port": port}])["1"]
    if is_wrong:
        assert (result["success"], result["error_code"]) == (False, "auth"), json.dumps(result)
    else:
        assert result["success"], result
