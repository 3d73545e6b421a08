"""The health check of a container, and the address at which it asks."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from nms_project.web_address import listening_address, local_url

pytestmark = pytest.mark.django_db


class Healthy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with HTTPServer(("127.20.0.9", 0), Healthy) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.05,))
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def test_postgresql_and_redis_answer() -> None:
    call_command("alive")


def test_without_redis_it_is_not_alive(settings: Any) -> None:
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    with pytest.raises(CommandError, match="not alive: ConnectionError"):
        call_command("alive")


def test_the_web_server_is_asked_where_it_listens(settings: Any, server: HTTPServer) -> None:
    settings.NMS_BIND, settings.NMS_PORT = "127.20.0.9", server.server_port
    call_command("alive", "--web")
    settings.NMS_BIND = "127.20.0.10"
    with pytest.raises(CommandError, match="not alive: ConnectionError"):
        call_command("alive", "--web")


@pytest.mark.parametrize(
    ("bind", "listening", "url"),
    [
        ("127.0.0.1", "127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("0.0.0.0", "0.0.0.0:8000", "http://127.0.0.1:8000"),  # noqa: S104 (nothing listens)
        ("::", "[::]:8000", "http://[::1]:8000"),
        ("fd00::5", "[fd00::5]:8000", "http://[fd00::5]:8000"),
    ],
)
def test_addresses(settings: Any, bind: str, listening: str, url: str) -> None:
    settings.NMS_BIND, settings.NMS_PORT = bind, 8000
    assert (listening_address(), local_url()) == (listening, url)
