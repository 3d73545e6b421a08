"""`manage.py run`: the embedded servers, then web, beat and the workers of the Procfile, ended together."""

import fcntl
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


def manage(*arguments: str, environment: dict[str, str]) -> None:
    """Runs a manage.py command in a process of its own, which reads the settings afresh. Raises
    StackError.
    """
    done = subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments],
        env=environment,
        check=False,
        timeout=300,
    )
    if done.returncode != 0:
        raise StackError(f"manage.py {arguments[0]} failed.")


def process_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the Procfile's processes: their `python` is this one."""
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    return {**environment, "PATH": binaries, "PYTHONUNBUFFERED": "1"}


def process_commands() -> dict[str, str]:
    """Return the Procfile's command lines by name, with a poll worker for each shard."""
    procfile = parse_procfile((settings.BASE_DIR / "Procfile").read_text(encoding="utf-8"))
    commands: dict[str, str] = {
        name: command for name, command in procfile.processes.items() if not name.startswith(POLL_PROCESS)
    }
    for shard in range(settings.NMS_POLL_SHARDS):
        commands[f"{POLL_PROCESS}{shard}"] = f"python manage.py worker {poll_queue(shard)}"
    return commands


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
