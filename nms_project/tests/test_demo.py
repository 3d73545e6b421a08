"""`make demo`: it shows what it should, and the hosts' password is nowhere while it does."""

import re
import signal
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests

from nms_project.demo.client import Client
from nms_project.stack.live import free_port, kill_session, wait_until
from nms_project.tests.newcomer import processes_below, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ADMIN_PASSWORD = "the-administrator-of-this-demo"
PLUGIN = re.compile(rb"/plugins/\w+/\w+-plugin\b")
PING = re.compile(rb"(^|/)fping\x00")
MAX_PAGES = 70


def forms_of(secret: str) -> re.Pattern[bytes]:
    """As it is, and inside of any base64: the bodies of messages are."""
    forms = [secret.encode()]
    for before in range(3):
        encoded = b64encode(b"\0" * before + secret.encode())
        forms.append(encoded[(before * 8 + 5) // 6 : -4])  # without what depends on its neighbours
    return re.compile(b"|".join(re.escape(form) for form in forms))


@pytest.mark.parametrize("before", [b"", b"1", b"12", b"123"])
def test_a_secret_is_found_inside_of_base64(before: bytes) -> None:
    found = forms_of("s3cret-of-hosts")
    assert found.search(b64encode(before + b"s3cret-of-hosts" + b"after it"))
    assert not found.search(b64encode(before + b"s4cret-of-hosts" + b"after it"))


def below(pid: int) -> Iterator[int]:
    with suppress(OSError):  # it has ended meanwhile
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, children.read_text().split()):
                yield child
                yield from below(child)


class Watch(threading.Thread):
    """Looks at arguments and environments of all processes below one, again and again until it is told to
    stop.
    """

    def __init__(self, pid: int, state_dir: Path) -> None:
        super().__init__()
        self.pid = pid
        self.password = state_dir / "demo" / "demo-host-password"
        self.keys = [state_dir / "demo" / name for name in ("secret-key", "encryption-keys")]
        self.ended = threading.Event()
        self.seen = {"plugin": 0, "fping": 0, "other": 0}
        self.leaks: list[bytes] = []

    def run(self) -> None:
        while not self.ended.wait(0.2):
            if all(path.exists() for path in (self.password, *self.keys)):
                self._look()

    def _look(self) -> None:
        password = forms_of(self.password.read_text().strip())
        keys = re.compile(b"|".join(re.escape(path.read_bytes().strip()) for path in self.keys))
        for pid in below(self.pid):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                environment = Path(f"/proc/{pid}/environ").read_bytes()
            except OSError:
                continue
            kind = "plugin" if PLUGIN.search(command) else "fping" if PING.search(command) else "other"
            self.seen[kind] += 1
            if password.search(command + environment) or keys.search(command):
                self.leaks.append(command)
            if kind != "other" and (keys.search(environment) or b"NMS_" in environment):
                self.leaks.append(command)


class ThrottledOnce(BaseHTTPRequestHandler):
    statuses: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        self.statuses.append(200 if self.statuses else 429)
        self.send_response(self.statuses[-1])
        self.send_header("Retry-After", "0")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_it_outlasts_somebody_who_uses_its_login_a_lot() -> None:
    with HTTPServer(("127.0.0.1", 0), ThrottledOnce) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            assert Client(f"http://127.0.0.1:{server.server_port}").post("metrics", {}) == {}
        finally:
            server.shutdown()
    assert ThrottledOnce.statuses == [429, 200]


def api_answers(client: Client) -> Iterator[requests.Response]:
    """Of everything that can be read, of objects the first one."""
    for path, methods in client.get("schema", format="json")["paths"].items():
        if "get" in methods:
            yield client.session.get(client.base_url + re.sub(r"\{\w*id\}", "1", path), timeout=60)


def admin_pages(base_url: str) -> Iterator[requests.Response]:
    """By following the links from the first one."""
    with requests.Session() as browser:
        browser.trust_env = False
        browser.get(f"{base_url}/admin/login/", timeout=30)
        form = {
            "username": "admin",
            "password": ADMIN_PASSWORD,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        assert "Log out" in browser.post(f"{base_url}/admin/login/?next=/admin/", form, timeout=30).text
        waiting, known = ["/admin/"], {"/admin/"}
        for _ in range(MAX_PAGES):
            if not waiting:
                break
            page = browser.get(base_url + waiting.pop(0), timeout=60)
            yield page
            for link in re.findall(r'href="(/admin/[^"#]*)"', page.text):
                link = link.replace("&amp;", "&")
                if link not in known:
                    known.add(link)
                    waiting.append(link)


def test_it_shows_everything_and_the_password_of_its_hosts_is_nowhere(state_dir: Path) -> None:
    port = free_port()
    settings = {"NMS_DEMO_WINRM_PORT": str(free_port()), "DJANGO_SUPERUSER_PASSWORD": ADMIN_PASSWORD}
    demo = start(state_dir, port, "demo", "--once", **settings)
    watch = Watch(demo.pid, state_dir)
    watch.start()
    try:
        client = Client(f"http://127.0.0.1:{port}")
        wait_until(client.is_up, 120)
        client.login("admin", ADMIN_PASSWORD)
        wait_until(lambda: client.get("devices", status="active")["count"] >= 65, 90)
        device = client.get("devices", plugin_id="winrm")["results"][0]["id"]
        wait_until(lambda: bool(client.get(f"devices/{device}/verdicts")["results"]), 60)
        demo.send_signal(signal.SIGSTOP)  # or it may have seen enough, and end, before we have
        answers = [*api_answers(client), *admin_pages(client.base_url)]
        demo.send_signal(signal.SIGCONT)
        assert demo.wait(240) == 0, (state_dir / "run.log").read_text()
    finally:
        watch.ended.set()
        watch.join()
        kill_session(demo)
    assert processes_below(state_dir) == []
    assert "45 of 45 Windows hosts active with two or more ok" in (state_dir / "run.log").read_text()

    assert not watch.leaks
    assert min(watch.seen.values()) > 0, watch.seen
    password = forms_of(watch.password.read_text().strip())
    for answer in answers:
        assert answer.status_code < 500, answer.url
        assert not password.search(answer.content), answer.url
        assert b"gAAAAA" not in answer.content, answer.url  # how what Fernet encrypted begins
    read = [answer.url for answer in answers if answer.status_code == 200]
    assert len(read) > 80
    files = [path for path in state_dir.rglob("*") if path.is_file() and path != watch.password]
    assert {"run.log", "demo.log", "redis.log"} <= {path.name for path in files}
    assert any("aof" in path.name and path.stat().st_size for path in files)
    for path in files:
        assert not password.search(path.read_bytes()), path


def test_a_port_that_is_taken_is_said_in_words(state_dir: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.20.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        assert start(state_dir, free_port(), "demo", NMS_DEMO_WINRM_PORT=taken).wait(60) == 1
    said = (state_dir / "run.log").read_text()
    assert "cannot listen on port" in said
    assert "set NMS_DEMO_WINRM_PORT to another port" in said
    assert "Traceback" not in said
    assert processes_below(state_dir) == []
