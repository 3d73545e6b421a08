"""Runs plugins: what both modes share, and batch mode.

A plugin process gets its tasks on stdin, its secrets nowhere else: the environment is built from nothing, and
it runs in a process group of its own, which is killed as a whole.
"""

import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from nms_project.children import has_exited
from plugins.contract import (
    MAX_STDERR_BYTES,
    MAX_STDOUT_BYTES,
    ErrorCode,
    InvalidResult,
    Result,
    Task,
    failed,
    parse_json,
    parse_result,
)
from plugins.registry import Plugin
from polling.errors import RunnerClosed

logger = logging.getLogger(__name__)

GRACE_SECONDS = 2.0  # past a task's own timeout, for the plugin to say so itself
READ_BYTES = 64 * 1024
CLOSED_POLL_SECONDS = 0.25
LOGGED_CHARACTERS = 2_000


class Runner(Protocol):
    """Something that answers tasks, in either mode."""

    def run(self, tasks: Sequence[Task], *, start_within_seconds: float) -> Iterator[list[Result]]:
        """Yields results as they come, one for each task; none for a task that could not start in time."""
        ...

    def close(self) -> None:
        """Ends the plugin in peace: it closes its sessions."""
        ...


def environment() -> dict[str, str]:
    """What a plugin gets to see: a path on which our own Python comes first, and UTF-8."""
    python = Path(sys.executable).parent
    return {"PATH": f"{python}{os.pathsep}{os.defpath}", "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


def start(plugin: Plugin, *arguments: str) -> subprocess.Popen[bytes]:
    """Raises OSError when the executable cannot be started."""
    assert plugin.executable is not None, f"{plugin.id} is built in"  # noqa: S101 (a caller's bug)
    return subprocess.Popen(
        [str(plugin.executable), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=plugin.executable.parent,
        env=environment(),
        start_new_session=True,
        bufsize=0,
    )


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Ends the plugin and all it has started, then reaps it. Once reaped, its id may be somebody else's."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def await_exit(process: subprocess.Popen[bytes], until: Callable[[], bool]) -> bool:
    """Waits without reaping: its id, which is its group's too, must stay taken until the group is killed.
    False when `until` came true first.
    """
    while not has_exited(process):
        if until():
            return False
        time.sleep(0.005)
    return True


def log_stderr(plugin_id: str, text: bytes) -> None:
    words = text.decode(errors="replace").strip()
    if words:
        logger.warning("plugin %s says: %s", plugin_id, words[-LOGGED_CHARACTERS:])


class BatchRunner:
    """One process for each batch: all tasks in, all results out."""

    def __init__(self, plugin: Plugin) -> None:
        self.plugin = plugin
        self._closed = threading.Event()

    def close(self) -> None:
        """Kills the batches under way; whoever waits for them gets RunnerClosed."""
        self._closed.set()

    def run(self, tasks: Sequence[Task], *, start_within_seconds: float) -> Iterator[list[Result]]:
        if not tasks:
            return
        discovery = ["-discovery"] if tasks[0].operation == "discovery" else []
        deadline = max(task.timeout_seconds for task in tasks) + GRACE_SECONDS
        try:
            process = start(self.plugin, *discovery)
        except OSError as error:
            yield _all_failed(tasks, f"the plugin cannot be started: {error.strerror}")
            return
        with process:
            stdin = b"[" + b",".join(task.to_json() for task in tasks) + b"]"
            output = _Conversation(process, stdin, self._closed).hold(deadline)
        if self._closed.is_set():
            raise RunnerClosed("the worker ends while a batch is under way")
        if output.stderr:
            log_stderr(self.plugin.id, bytes(output.stderr))
        yield self._results(tasks, output)

    def _results(self, tasks: Sequence[Task], output: "_Output") -> list[Result]:
        if output.fault:
            return _all_failed(tasks, output.fault)
        try:
            answers = parse_json(bytes(output.stdout))
        except InvalidResult as error:
            return _all_failed(tasks, f"the plugin's output is {error}")
        if not isinstance(answers, list):
            return _all_failed(tasks, "the plugin's output is not an array")
        found: dict[str, Result] = {}
        for answer in answers:
            with suppress(InvalidResult):
                result = parse_result(answer)
                found.setdefault(result.request_id, result)
        # A valid document without some target: the plugin could tell nothing about it, which counts.
        return [
            found.get(task.request_id)
            or failed(task.request_id, ErrorCode.PROTOCOL, "the plugin gave no answer for this target")
            for task in tasks
        ]


def _all_failed(tasks: Sequence[Task], reason: str) -> list[Result]:
    return [failed(task.request_id, ErrorCode.INTERNAL, reason) for task in tasks]


class _Output:
    """What a batch process wrote; `fault` says why it is of no use."""

    def __init__(self) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.fault = ""


class _Conversation:
    """Feeds stdin and reads stdout and stderr at once, within a deadline and the caps."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes, closed: threading.Event) -> None:
        assert process.stdin  # noqa: S101 (started with pipes)
        assert process.stdout  # noqa: S101
        assert process.stderr  # noqa: S101
        self.process = process
        self.closed = closed
        self.unsent = memoryview(stdin)
        self.output = _Output()
        self.selector = selectors.DefaultSelector()
        for stream, event in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stdout, selectors.EVENT_READ),
            (process.stderr, selectors.EVENT_READ),
        ):
            os.set_blocking(stream.fileno(), False)
            self.selector.register(stream, event)

    def hold(self, seconds: float) -> _Output:
        deadline = time.monotonic() + seconds
        with self.selector:
            while self.selector.get_map() and not self.output.fault and not self.closed.is_set():
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    self.output.fault = f"the plugin did not end within {seconds:g} s and was killed"
                    break
                for key, _ in self.selector.select(min(remaining, CLOSED_POLL_SECONDS)):
                    self._move(key.fileobj)
        if not self.output.fault:
            self._await_end(deadline)
        # Also after a clean end: whatever it left behind in its group goes now.
        kill_group(self.process)
        if not self.output.fault and self.process.returncode != 0:
            tail = bytes(self.output.stderr[-200:]).decode(errors="replace").strip()
            self.output.fault = f"the plugin ended with exit code {self.process.returncode}: {tail}"
        return self.output

    def _await_end(self, deadline: float) -> None:
        if not await_exit(self.process, lambda: time.monotonic() > deadline or self.closed.is_set()):
            self.output.fault = "the plugin closed its output but did not end, and was killed"

    def _move(self, stream: object) -> None:
        if stream is self.process.stdin:
            self._send()
        elif stream is self.process.stdout:
            self._receive(stream, self.output.stdout)
            if len(self.output.stdout) > MAX_STDOUT_BYTES:
                self.output.fault = (
                    f"the plugin wrote more than {MAX_STDOUT_BYTES // 2**20} MiB and was killed"
                )
        else:
            self._receive(self.process.stderr, self.output.stderr)
            del self.output.stderr[:-MAX_STDERR_BYTES]

    def _send(self) -> None:
        assert self.process.stdin  # noqa: S101
        try:
            sent = os.write(self.process.stdin.fileno(), self.unsent[:READ_BYTES])
        except BlockingIOError:
            return
        except BrokenPipeError:  # it ended, or does not want to hear more: its exit code tells
            sent = len(self.unsent)
        self.unsent = self.unsent[sent:]
        if not self.unsent:
            self.selector.unregister(self.process.stdin)
            self.process.stdin.close()

    def _receive(self, stream: object, buffer: bytearray) -> None:
        chunk = os.read(stream.fileno(), READ_BYTES)  # type: ignore[attr-defined]  # one of the pipes
        if chunk:
            buffer += chunk
        else:
            self.selector.unregister(stream)  # type: ignore[arg-type]
