"""Run processes side by side, print their output, and start again what ends.

The processes end with the supervisor, also when it is killed: each gets a signal from the kernel then.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import IO, Protocol

from honcho.colour import get_colours
from honcho.printer import Message, Printer

from nms_project.children import has_exited
from nms_project.stack.signals import ending_with_parent

RESTART_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)  # after the first, second, … end in a row
HEALTHY_SECONDS = 60.0  # a process that ran for so long ended for a new reason
STOP_SECONDS = 8.0  # workers need up to six to finish or put back their messages
CHECK_SECONDS = 0.1
ANNOUNCE_SECONDS = 60.0
OWN_NAME = "run"


class Server(Protocol):
    """An embedded server; `process` is None where it was started by an earlier run."""

    process: "subprocess.Popen[bytes] | None"

    def start(self) -> None:
        """Return once it answers. Raise an error with the reason where it cannot start."""
        ...


@dataclass(slots=True)
class _Retry:
    """When something that ended is started again."""

    started_at: float = 0.0
    ends_in_a_row: int = 0
    due_at: float = 0.0

    def note_start(self) -> None:
        self.started_at = time.monotonic()

    def note_end(self) -> float:
        """Return how long to wait."""
        now = time.monotonic()
        if now - self.started_at >= HEALTHY_SECONDS:
            self.ends_in_a_row = 0
        pause = RESTART_SECONDS[min(self.ends_in_a_row, len(RESTART_SECONDS) - 1)]
        self.ends_in_a_row += 1
        self.due_at = now + pause
        return pause


class _Child:
    def __init__(self, name: str, command: str, colour: str) -> None:
        self.name = name
        self.command = command
        self.colour = colour
        self.popen: subprocess.Popen[bytes] | None = None
        self.retry = _Retry()


class Supervisor:
    """`servers` are started already; one that ends is started again, as the processes are."""

    def __init__(self, output: IO[str], *, servers: Mapping[str, Server] | None = None) -> None:
        self._printer = Printer(output=output, width=len(OWN_NAME))
        self._printing = threading.Lock()
        self._colours = get_colours()
        self._servers = dict(servers or {})
        self._server_retries = {name: _Retry(started_at=time.monotonic()) for name in self._servers}
        self._children: list[_Child] = []
        self._announcement: list[str] = []
        self._signal = 0

    def add(self, name: str, command: str) -> None:
        """`command` is a shell's command line."""
        self._children.append(_Child(name, command, next(self._colours)))
        self._printer.width = max(self._printer.width, len(name))

    def say_once(self, condition: Callable[[], bool], text: str) -> None:
        """Print the lines of `text` once `condition` holds, after ANNOUNCE_SECONDS, or at the end."""
        self._announcement = text.strip().splitlines()

        def wait() -> None:
            until = time.monotonic() + ANNOUNCE_SECONDS
            while not condition() and time.monotonic() < until:
                time.sleep(CHECK_SECONDS)
            self._announce()

        threading.Thread(target=wait, daemon=True).start()

    def _announce(self) -> None:
        while self._announcement:
            self._say(self._announcement.pop(0))

    def run(self, environment: Mapping[str, str], cwd: Path) -> int:
        """Return 128 and the number of the signal that ended it, once every process has ended."""
        handlers = {
            number: signal.signal(number, self._note_signal)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            while not self._signal:
                self._restart_servers()
                for child in self._children:
                    self._supervise(child, environment, cwd)
                time.sleep(CHECK_SECONDS)
        finally:
            self._announce()
            self._stop()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        return 128 + self._signal

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        self._signal = self._signal or number

    def _supervise(self, child: _Child, environment: Mapping[str, str], cwd: Path) -> None:
        if child.popen is None:
            if time.monotonic() >= child.retry.due_at:
                self._start(child, environment, cwd)
        elif has_exited(child.popen):
            code = _reap(child.popen)
            child.popen = None
            pause = child.retry.note_end()
            self._say(f"{child.name} ended with exit code {code}; it is started again in {pause:g} s")

    def _start(self, child: _Child, environment: Mapping[str, str], cwd: Path) -> None:
        child.retry.note_start()
        try:
            child.popen = subprocess.Popen(
                [*ending_with_parent("TERM"), "/bin/sh", "-c", f"exec {child.command}"],
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal is for us
            )
        except OSError as error:  # too many processes or open files
            pause = child.retry.note_end()
            self._say(f"{child.name} cannot be started: {error.strerror}; it is tried again in {pause:g} s")
            return
        threading.Thread(target=self._print_output, args=(child, child.popen), daemon=True).start()
        self._say(f"{child.name} started (process {child.popen.pid})")

    def _restart_servers(self) -> None:
        for name, server in self._servers.items():
            retry = self._server_retries[name]
            if server.process is None or server.process.poll() is None or time.monotonic() < retry.due_at:
                continue
            pause = retry.note_end()
            self._say(f"{name} ended with exit code {server.process.returncode}; it is started again")
            try:
                server.start()
            except Exception as error:  # noqa: BLE001 (whatever keeps it from starting, it is tried again)
                self._say(f"{name} cannot be started: {error} It is tried again in {pause:g} s")
            retry.note_start()

    def _stop(self) -> None:
        """SIGTERM to all, SIGKILL to what is left after STOP_SECONDS."""
        running = [child.popen for child in self._children if child.popen is not None]
        for popen in running:
            # Not terminate(), which reaps one that has just ended.
            with suppress(ProcessLookupError):
                os.kill(popen.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while running and time.monotonic() < deadline:
            running = [popen for popen in running if not has_exited(popen)]
            time.sleep(CHECK_SECONDS)
        for child in self._children:
            if child.popen is not None:
                _reap(child.popen)

    def _print_output(self, child: _Child, popen: "subprocess.Popen[bytes]") -> None:
        assert popen.stdout  # noqa: S101 (started with a pipe)
        with popen.stdout as stdout:
            for line in stdout:
                self._write(child.name, line.decode(errors="replace"), child.colour)

    def _say(self, text: str) -> None:
        self._write(OWN_NAME, text, None)

    def _write(self, name: str, text: str, colour: str | None) -> None:
        message = Message(type="line", data=text, time=datetime.now(), name=name, colour=colour)  # noqa: DTZ005 (for people at this machine)
        with self._printing, suppress(OSError):  # the terminal may be gone
            self._printer.write(message)


def _reap(popen: "subprocess.Popen[bytes]") -> int:
    """End what a process left behind in its group, and itself; return its exit code."""
    with suppress(ProcessLookupError):
        os.killpg(popen.pid, signal.SIGKILL)
    return popen.wait()
