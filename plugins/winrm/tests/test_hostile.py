"""Hosts that mean harm: they may fail themselves, but neither learn a secret nor harm the plugin."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from plugins.tests.process import worker_number
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
