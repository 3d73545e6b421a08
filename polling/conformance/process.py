"""A plugin's process as the host starts it, and hosts to send it to: one that refuses, one that says
nothing.
"""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from plugins.registry import Plugin
from polling.conformance.report import Deviation, expect
from polling.runner import kill_group, start

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ended:
    exit_code: int
    stdout: bytes
    stderr: bytes
    seconds: float

    def words(self) -> str:
        return self.stderr[-300:].decode(errors="replace").strip() or "nothing was written to stderr"


def converse(plugin: Plugin, stdin: bytes, *arguments: str, within_seconds: float) -> Ended:
    """Batch mode: everything in, end of file, everything out. Raises Deviation when it does not end in
    time.
    """
    started = time.monotonic()
    process = _started(plugin, *arguments)
    try:
        with process:
            stdout, stderr = _communicate(process, stdin, within_seconds)
    except subprocess.TimeoutExpired:
        raise Deviation(
            f"it did not end within {within_seconds:g} s: keep each task's timeout_seconds, then end."
        ) from None
    return Ended(process.returncode, stdout, stderr, time.monotonic() - started)


def _communicate(process: "subprocess.Popen[bytes]", stdin: bytes, seconds: float) -> tuple[bytes, bytes]:
    try:
        return process.communicate(stdin, timeout=seconds)
    finally:
        kill_group(process)  # also what a plugin left behind in its group


class Stream:
    """Stream mode: lines in, lines out. A context manager that leaves no process behind."""

    def __init__(self, plugin: Plugin) -> None:
        self.process = _started(plugin, "--stream")
        self.lines: list[tuple[float, bytes]] = []  # (when it came, what came)
        self.stderr = b""
        self._changed = threading.Condition()
        self._readers = [threading.Thread(target=read) for read in (self._read_stdout, self._read_stderr)]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        kill_group(self.process)
        for reader in self._readers:
            reader.join()
        with suppress(OSError), self.process:  # closes the pipes
            pass

    def send(self, *lines: bytes) -> None:
        assert self.process.stdin  # noqa: S101 (started with pipes)
        try:
            for line in lines:
                self.process.stdin.write(line + b"\n")
        except OSError:
            raise Deviation(f"it ended while tasks were written: {self.words()}") from None

    def close_stdin(self) -> None:
        assert self.process.stdin  # noqa: S101
        self.process.stdin.close()

    def await_lines(self, count: int, *, within_seconds: float) -> list[bytes]:
        """Raises Deviation when fewer come."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.lines) >= count, timeout=within_seconds)
            found = [line for _, line in self.lines]
        expect(
            len(found) >= count,
            f"of {count} tasks {len(found)} were answered within {within_seconds:g} s: {self.words()}",
        )
        return found

    def await_end(self, *, within_seconds: float) -> int:
        try:
            return self.process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            raise Deviation(f"it did not end within {within_seconds:g} s and was killed.") from None

    def words(self) -> str:
        return self.stderr[-300:].decode(errors="replace").strip() or "nothing was written to stderr"

    def _read_stdout(self) -> None:
        assert self.process.stdout  # noqa: S101
        rest = b""
        while chunk := self.process.stdout.read(64 * 1024):
            *lines, rest = (rest + chunk).split(b"\n")
            with self._changed:
                self.lines += [(time.monotonic(), line) for line in lines if line.strip()]
                self._changed.notify_all()

    def _read_stderr(self) -> None:
        assert self.process.stderr  # noqa: S101
        while chunk := self.process.stderr.read(64 * 1024):
            self.stderr = (self.stderr + chunk)[-10_000:]


@contextmanager
def silent_host() -> Iterator[int]:
    """A port of loopback that takes connections and datagrams, and never answers; yields its number."""
    with (
        socket.create_server((LOOPBACK, 0), backlog=512) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        port = int(listener.getsockname()[1])
        datagrams.bind((LOOPBACK, port))
        yield port


def closed_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])


def results_of(raw: bytes) -> list[dict[str, Any]]:
    """Raises Deviation for anything but an array of objects."""
    try:
        found = json.loads(raw)
    except ValueError:
        shown = raw[:80].decode(errors="replace")
        raise Deviation(
            f"stdout is no JSON: it begins with {shown!r}. Words for people belong on stderr."
        ) from None
    expect(isinstance(found, list), "stdout must hold one JSON array.")
    expect(all(isinstance(result, dict) for result in found), "each result must be an object.")
    return list(found)


def _started(plugin: Plugin, *arguments: Sequence[str] | str) -> "subprocess.Popen[bytes]":
    try:
        return start(plugin, *map(str, arguments))
    except OSError as error:
        raise Deviation(
            f"it cannot be started: {error.strerror}. Its first line must name an interpreter that is there."
        ) from None
