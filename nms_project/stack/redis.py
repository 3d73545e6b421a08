"""The embedded Redis: the redis-server of this machine as a child process."""

import hashlib
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from nms_project.stack.errors import StackError
from nms_project.stack.signals import ending_with_parent
from nms_project.state import log_open

MAX_SOCKET_PATH = 107
START_SECONDS = 20


class EmbeddedRedis:
    """One server on a private socket, append-only file on, evicting nothing."""

    def __init__(self, state_dir: Path) -> None:
        self.data = state_dir.resolve() / "redis"
        self.socket = self.data / "redis.sock"
        if len(str(self.socket).encode()) > MAX_SOCKET_PATH:
            name = hashlib.sha256(str(self.data).encode()).hexdigest()[:12]
            self.socket = Path("/tmp") / f"nms-{name}-redis" / "redis.sock"  # noqa: S108 (mode 0700)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def start(self) -> None:
        """Starts the server, or finds it running after its former owner was killed. Raises StackError."""
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.socket.parent.mkdir(mode=0o700, exist_ok=True)
        if self._answers():
            return
        self.socket.unlink(missing_ok=True)
        command = [
            *ending_with_parent("TERM"),
            _binary(),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--unixsocketperm",
            "700",
        ]
        command += ["--dir", str(self.data), "--appendonly", "yes", "--save", "", "--databases", "64"]
        command += ["--maxmemory-policy", "noeviction", "--daemonize", "no"]
        log_path = self.data / "redis.log"
        with log_open(log_path) as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={"LANG": "C.UTF-8"},
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"Redis did not start. Its log ends with:\n{log_path.read_text()[-2_000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process is None:
            self._shut_down_adopted()
            return
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=20)
        self.process = None
        if self.socket.parent != self.data:
            with suppress(OSError):
                self.socket.parent.rmdir()

    def _shut_down_adopted(self) -> None:
        """A server that an earlier, killed owner left behind is ours to end as well."""
        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5)
        try:
            client.shutdown()
        except redis.ConnectionError:
            return

    def _answers(self) -> bool:
        once = Retry(NoBackoff(), 0)  # the client's own way to try again waits for seconds
        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=2, retry=once)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


def _binary() -> str:
    found = shutil.which("redis-server")
    if found is None:
        raise StackError("No redis-server found: apt-get install redis-server, or set REDIS_URL.")
    return found
