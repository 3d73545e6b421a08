"""Hosts that mean harm: they may fail themselves, but neither learn a secret nor harm the plugin."""

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from plugins.tests.process import worker_number
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.tests.conftest import task, winrm_batch

PORT = 15985


def address(number: int) -> str:
    return f"127.{110 + worker_number()}.1.{number}"


@contextmanager
def host(number: int, answer: Any) -> Iterator[list[http.server.BaseHTTPRequestHandler]]:
    """An HTTP server whose every request is answered by `answer(handler)`; yields the requests."""
    requests: list[http.server.BaseHTTPRequestHandler] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            requests.append(self)
            answer(self)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer((address(number), PORT), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield requests
        finally:
            server.shutdown()
            thread.join()


def poll(number: int, **credentials: Any) -> dict[str, Any]:
    target = address(number)
    return winrm_batch([task(target, port=PORT, timeout=10, **credentials)])[target]


def refuse(handler: Any) -> None:
    handler.send_response(401)
    handler.send_header("WWW-Authenticate", "Negotiate")
    handler.send_header("WWW-Authenticate", 'Basic realm="WSMAN"')
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_leads_no_login_elsewhere(transport: str, status: int) -> None:
    def redirect(handler: Any) -> None:
        handler.send_response(status)
        handler.send_header("Location", f"http://{address(2)}:{PORT}/wsman")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with host(1, redirect) as asked, host(2, refuse) as others:
        result = poll(1, transport=transport)
    assert asked
    assert others == []
    assert result["error_code"] == "protocol"


def endless(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/soap+xml")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    try:
        for _ in range(64):
            handler.wfile.write(b"100000\r\n" + b" " * 0x100000 + b"\r\n")
    except OSError:
        handler.close_connection = True


def packed(handler: Any) -> None:
    """A little that would become much."""
    body = b"\x1f\x8b" + b"\0" * 1_000
    handler.send_response(200)
    handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize("transport", ["ntlm", "basic"])
@pytest.mark.parametrize("answer", [endless, packed])
def test_replies_are_bounded(transport: str, answer: Any) -> None:
    with host(3, answer):
        result = poll(3, transport=transport)
    assert result["error_code"] in ("protocol", "timeout")


def test_cookies_are_not_kept() -> None:
    def with_cookie(handler: Any) -> None:
        handler.send_response(500)
        handler.send_header("Set-Cookie", "a=" + "x" * 1_000)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with host(4, with_cookie) as asked:
        poll(4, transport="basic")
    assert asked
    assert not any("Cookie" in handler.headers for handler in asked)


@pytest.mark.parametrize("secret", [{"username": "монитор"}, {"password": "пароль"}])
def test_names_and_passwords_in_any_language(secret: dict[str, str]) -> None:
    with host(5, refuse):
        result = poll(5, transport="basic", **secret)
    assert result["error_code"] == "auth"


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
ENTITIES = b"".join(b'<!ENTITY e%d "%s">' % (n + 1, b"&e%d;" % n * 20) for n in range(20))
LAUGHS = b'<!DOCTYPE d [<!ENTITY e0 "lol">%s]><d>&e20;</d>' % ENTITIES
DEEP = b"<a>" * 100_000 + b"</a>" * 100_000


def _whole(body: bytes) -> Iterator[bytes]:
    yield OK + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _endless(head: bytes, part: bytes) -> Iterator[bytes]:
    yield head
    while True:
        yield part * 1_000


# What a host sends in answer to any request; where it is endless, until the plugin hangs up.
REPLIES: dict[str, Callable[[], Iterator[bytes]]] = {
    "interim responses": lambda: _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim responses with headers": lambda: _endless(b"", b"HTTP/1.1 102 Processing\r\nA: b\r\n\r\n"),
    "headers": lambda: _endless(OK, b"A: b\r\n"),
    "one header": lambda: _endless(OK + b"A: ", b"b"),
    "a status line": lambda: _endless(b"HTTP/1.1 200 ", b"b"),
    "chunks of a byte": lambda: _endless(CHUNKED, b"1\r\na\r\n"),
    "a chunk's extension": lambda: _endless(CHUNKED + b"1;", b"a"),
    "trailers": lambda: _endless(CHUNKED + b"0\r\n", b"A: b\r\n"),
    "a body of 100 MB": lambda: _endless(OK + b"Content-Length: 100000000\r\n\r\n", b" "),
    "entities in entities": lambda: _whole(LAUGHS),
    "deep nesting": lambda: _whole(DEEP),
    "garbage": lambda: iter([b"\x00\xff" * 5_000]),
    "nothing": lambda: iter([b""]),
    "a truncated body": lambda: iter([OK + b"Content-Length: 500\r\n\r\n<a"]),
}


@contextmanager
def raw_host(number: int, reply: Callable[[], Iterator[bytes]]) -> Iterator[None]:
    """A server that answers the first bytes of each connection with `reply`, and hangs up."""

    def serve(connection: socket.socket) -> None:
        with connection:
            try:
                if connection.recv(65_536):
                    for part in reply():
                        connection.sendall(part)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server((address(number), PORT)) as server:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()


@pytest.mark.parametrize("kind", REPLIES)
def test_a_hostile_host_harms_only_itself(simulator: Simulator, kind: str) -> None:
    healthy = simulator.config.addresses()[:4]
    with raw_host(6, REPLIES[kind]):
        hostile = [
            task(address(6), port=PORT, timeout=10, name=transport, transport=transport)
            for transport in ("ntlm", "basic")
        ]
        results = winrm_batch([*hostile, *map(task, healthy)])
    for one in ("ntlm", "basic"):
        assert results[one]["error_code"] == "protocol", results[one]
        assert results[one]["duration_ms"] < 5_000
    assert [results[one].get("error") for one in healthy] == [None] * 4
