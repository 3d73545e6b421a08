"""A whole installation for benchmarks and for tests that kill parts of it: servers, workers and beat as
processes.

It shares nothing with other servers of this machine. Every process is a child in a session of its own; `stop`
ends them all, whatever a test did to them.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import redis
from cryptography.fernet import Fernet

from nms_project.demo.client import Client
from nms_project.stack.errors import StackError
from nms_project.stack.postgres import EmbeddedPostgres
from nms_project.stack.redis import EmbeddedRedis

ROOT = Path(__file__).resolve().parents[2]
# Short leases (5 + 6 + 15 s) and short windows; every other value is the default.
FAST = {
    "NMS_PLUGIN_TIMEOUT_SECONDS": "6",
    "NMS_VISIBILITY_TIMEOUT_SECONDS": "8",
    "NMS_FAILURE_WINDOW_SECONDS": "30",
}


class LiveStack:
    def __init__(self, settings: Mapping[str, str]) -> None:
        self.state_dir = Path(tempfile.mkdtemp(prefix="nms-live-"))
        self.state_dir.chmod(0o755)
        self.postgres = EmbeddedPostgres(self.state_dir)
        self.redis = EmbeddedRedis(self.state_dir)
        self.port = free_port()
        self.password = secrets.token_urlsafe(12)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST")},
            "NMS_STATE_DIR": str(self.state_dir),
            "DATABASE_URL": self.postgres.url,
            "REDIS_URL": self.redis.url,
            "PORT": str(self.port),
            "NMS_SECRET_KEY": secrets.token_urlsafe(64),
            "NMS_ENCRYPTION_KEYS": Fernet.generate_key().decode("ascii"),
            "DJANGO_SUPERUSER_PASSWORD": self.password,
            **FAST,
            **settings,
        }
        self.client = Client(f"http://127.0.0.1:{self.port}")

    def start(self) -> None:
        self.postgres.start()
        self.redis.start()
        if self._manage("prepare").wait(120) != 0:
            raise StackError(f"The database could not be prepared: {self.log('prepare')[-2_000:]}")

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for name in list(self.processes):
            self.end(name)
        self.redis.stop()
        self.postgres.stop()
        if self.postgres.home != self.state_dir:
            shutil.rmtree(self.postgres.home, ignore_errors=True)
        shutil.rmtree(self.state_dir, ignore_errors=True)

    def run(self, *names: str) -> None:
        """Starts processes by name and waits until they work; see `launch` for the names."""
        for name in names:
            self.launch(name)
        for name in names:
            self.await_ready(name)

    def launch(self, name: str) -> None:
        """`name` is a manage.py command line; what follows a # tells two of a kind apart."""
        self.processes[name] = self._manage(*name.partition("#")[0].split(), log_name=name)

    def await_ready(self, name: str) -> None:
        if name.startswith("web"):
            wait_until(self.client.is_up, 60)
            self.client.login("admin", self.password)
        elif name.startswith("worker"):
            wait_until(lambda: " ready." in self.log(name), 60)

    def kill(self, name: str) -> None:
        """SIGKILL to the process alone, as the kernel's out-of-memory killer would."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def end(self, name: str) -> None:
        """SIGTERM, and SIGKILL to whatever is left ten seconds later."""
        process = self.processes.pop(name)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        kill_session(process)

    def log(self, name: str) -> str:
        return self._log_path(name).read_text(errors="replace")

    def logs(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.state_dir.glob("*.log"))

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.postgres.url) as connection:
            cursor = connection.execute(query, values)
            return cursor.fetchall() if cursor.description else []

    def count(self, query: str, *values: Any) -> int:
        return int(self.sql(query, *values)[0][0])

    def add_user(self, name: str, *, role: str) -> None:
        """Of the admin's pages too; the password is everybody's."""
        self.sql(
            "WITH made AS ("
            " INSERT INTO auth_user (username, password, is_staff, is_active, is_superuser, first_name,"
            " last_name, email, date_joined) SELECT %s, password, true, true, false, '', '', '', now()"
            " FROM auth_user WHERE username = 'admin' RETURNING id)"
            " INSERT INTO auth_user_groups (user_id, group_id)"
            " SELECT made.id, auth_group.id FROM made, auth_group WHERE name = %s",
            name,
            role,
        )

    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis.url)

    def add_devices(self, credential: dict[str, Any], addresses: list[str], **fields: Any) -> list[int]:
        """Active devices, polled every 10 s, made over the API."""
        profile = self.client.post("credentials", credential)
        body = {
            "credential_profile_id": profile["id"],
            "status": "active",
            "polling_interval_seconds": 10,
            **fields,
        }
        return [self.client.post("devices", {**body, "ip_address": address})["id"] for address in addresses]

    def _manage(self, *arguments: str, log_name: str = "") -> "subprocess.Popen[bytes]":
        with self._log_path(log_name or arguments[0]).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _log_path(self, name: str) -> Path:
        return self.state_dir / f"{name.replace(' ', '-')}.log"


@contextmanager
def live_stack(**settings: str) -> Iterator[LiveStack]:
    stack = LiveStack(settings)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def kill_session(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float, *, pause: float = 0.2) -> None:
    """Raises TimeoutError when the condition does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not come true in time")
        time.sleep(pause)
