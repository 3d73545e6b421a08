"""`manage.py run`: the embedded servers, then web, beat and the workers of the Procfile, ended together."""

import fcntl
import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django.conf import settings
from honcho.environ import parse_procfile

from nms_project import state
from nms_project.queues import poll_queue
from nms_project.stack.errors import StackError
from nms_project.stack.postgres import EmbeddedPostgres
from nms_project.stack.redis import EmbeddedRedis
from nms_project.stack.supervisor import Server

PACKAGE = Path(__file__).resolve().parents[1]
POLL_PROCESS = "poll_"  # of the Procfile, which has one for each shard of the default


@contextmanager
def servers() -> Iterator[dict[str, Server]]:
    """Start the servers that are not given; yield them by name. Other processes find them by the file of
    endpoints.
    """
    state_dir: Path = settings.NMS_STATE_DIR
    with ExitStack() as stack:
        stack.enter_context(_sole_owner(state_dir))
        embedded: dict[str, str] = {}
        started: dict[str, Server] = {}
        if settings.NMS_EMBEDDED_POSTGRES:
            postgres = EmbeddedPostgres(state_dir)
            stack.callback(postgres.stop)
            postgres.start()
            embedded["database_url"] = postgres.url
            started["PostgreSQL"] = postgres
        if settings.NMS_EMBEDDED_REDIS:
            redis = EmbeddedRedis(state_dir)
            stack.callback(redis.stop)
            redis.start()
            embedded["redis_url"] = redis.url
            started["Redis"] = redis
        # Other commands (a shell, a worker in another terminal) find the embedded servers by this file.
        state.endpoints_write(state_dir, embedded)
        yield started


@contextmanager
def _sole_owner(state_dir: Path) -> Iterator[None]:
    """One `run` for each state directory: a second one would stop the servers of the first when it ends."""
    state_dir.mkdir(parents=True, exist_ok=True)
    with (state_dir / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"Another `run` or `demo` uses {state_dir} already. "
                "Stop it, or set NMS_STATE_DIR to another directory."
            ) from None
        yield


def command_line() -> list[str]:
    """Return what follows Python's name in a command of NMS: manage.py, which a wheel does not have."""
    return [str(settings.BASE_DIR / "manage.py")] if settings.IS_CHECKOUT else ["-m", "nms_project"]


def manage(*arguments: str, environment: dict[str, str]) -> str:
    """Run a command in a new process, which reads the settings again, and return its output.

    Raise StackError.
    """
    done = subprocess.run(
        [sys.executable, *command_line(), *arguments],
        env=environment,
        check=False,
        timeout=300,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode != 0:
        raise StackError(f"`{arguments[0]}` failed.\n{done.stdout}".rstrip())
    return done.stdout


def process_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the Procfile's processes: their `python` is this one."""
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return {**environment, "PATH": binaries, "PYTHONUNBUFFERED": "1"}


def process_commands() -> dict[str, str]:
    """Return the Procfile's command lines by name, with a poll worker for each shard."""
    folder = settings.BASE_DIR if settings.IS_CHECKOUT else PACKAGE  # as pyproject.toml puts it into a wheel
    procfile = parse_procfile((folder / "Procfile").read_text(encoding="utf-8"))
    commands: dict[str, str] = {
        name: command for name, command in procfile.processes.items() if not name.startswith(POLL_PROCESS)
    }
    for shard in range(settings.NMS_POLL_SHARDS):
        commands[f"{POLL_PROCESS}{shard}"] = f"python manage.py worker {poll_queue(shard)}"
    if settings.IS_CHECKOUT:
        return commands
    return {name: command.replace("manage.py", "-m nms_project", 1) for name, command in commands.items()}


def web_answers() -> bool:
    """Return whether the web server answers a request, with any status."""
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (asked for at this machine)
    host = local.get(settings.NMS_BIND, settings.NMS_BIND)
    connection = http.client.HTTPConnection(host, settings.NMS_PORT, timeout=5)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def check_port() -> None:
    """Raise StackError where the web server could not listen, before anything is started."""
    host, port = settings.NMS_BIND, settings.NMS_PORT
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
            probe.bind(address)
    except OSError as error:
        raise StackError(
            f"The web server cannot listen on {host}, port {port} ({error.strerror}). "
            "Stop what uses it, or set PORT or BIND to something else."
        ) from None
