"""`manage.py run`: the embedded servers, then web, beat and the workers of the Procfile, ended together."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from django.conf import settings
from honcho import manager as honcho_manager
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Printer

from nms_project import state
from nms_project.stack.errors import StackError
from nms_project.stack.postgres import EmbeddedPostgres
from nms_project.stack.redis import EmbeddedRedis

# Honcho has no parameter for how long it waits before it kills; workers need up to six seconds to end in
# peace.
honcho_manager.KILL_WAIT = 8


class _Manager(Manager):  # type: ignore[misc]  # honcho has no types
    """Honcho's, but for a signal that comes while processes are being started: it is obeyed when all have
    their ids.
    """

    _is_deferred = False

    def terminate(self) -> None:
        if super()._all_started():
            super().terminate()
        else:
            self._is_deferred = True

    def _all_started(self) -> bool:
        are_started = bool(super()._all_started())
        if are_started and self._is_deferred:
            self._is_deferred = False
            super().terminate()
        return are_started


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """The servers that are not given, started; yields the environment of the processes to come, which find
    them by the file of endpoints.
    """
    state_dir: Path = settings.NMS_STATE_DIR
    with ExitStack() as stack:
        stack.enter_context(_sole_owner(state_dir))
        embedded = {}
        if settings.NMS_EMBEDDED_POSTGRES:
            postgres = EmbeddedPostgres(state_dir)
            stack.callback(postgres.stop)
            postgres.start()
            embedded["database_url"] = postgres.url
        if settings.NMS_EMBEDDED_REDIS:
            redis = EmbeddedRedis(state_dir)
            stack.callback(redis.stop)
            redis.start()
            embedded["redis_url"] = redis.url
        # Other commands (a shell, a worker in another terminal) find the embedded servers by this file.
        state.endpoints_write(state_dir, embedded)
        yield dict(os.environ)


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


def process_manager(environment: dict[str, str], output: IO[str], names: Sequence[str] = ()) -> Manager:
    """The Procfile's processes, ready to loop(); SIGINT and SIGTERM end them all, and so does the end of
    any.
    """
    procfile = parse_procfile((settings.BASE_DIR / "Procfile").read_text(encoding="utf-8"))
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}"
    manager = _Manager(Printer(output=output))
    for name, command in procfile.processes.items():
        if not names or name in names:
            manager.add_process(
                name,
                f"exec {command}",
                env={**environment, "PATH": binaries, "PYTHONUNBUFFERED": "1"},
                cwd=str(settings.BASE_DIR),
            )
    return manager
