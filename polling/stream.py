"""Stream mode: one long-lived plugin process that many threads share, matched by request id.

Threads of this module, none of which ever waits for another's I/O: a writer and two readers for each process,
and one watchdog. The watchdog gives up tasks that the plugin has not answered two seconds past their timeout,
which is the plugin's own fault, and kills a process that writes nothing while tasks wait.
"""

import logging
import os
import queue
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from nms_project.telemetry import count
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
from polling.runner import GRACE_SECONDS, READ_BYTES, await_exit, kill_group, log_stderr, start

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 1.0
FLUSH_RESULTS = 500
FLUSH_CHARACTERS = 4 * 1024 * 1024  # of documents, so that a message stays small
CAPACITY_POLL_SECONDS = 0.05
WATCH_SECONDS = 0.25
BACK_OFF_SECONDS = (0.5, 1, 2, 4, 8, 16, 30)  # after the first, second, … end in a row
EOF_SECONDS = 0.5
TERM_SECONDS = 3.0
STDERR_SECONDS = 0.5
LAST_WORDS_SECONDS = 1.0  # for what an ended process had written

Deliver = Callable[[Result], None]


@dataclass(slots=True)
class _Pending:
    deadline: float
    deliver: Deliver


@dataclass(slots=True)
class _Process:
    """One incarnation of the plugin."""

    popen: subprocess.Popen[bytes]
    waiting_since: float = 0.0  # since when tasks wait without a word from it
    is_mute: bool = False  # it let tasks time out and has said nothing since: the clock above runs on
    exited_at: float = 0.0  # when that was seen; its output may be held open by what it left behind
    is_settled: bool = False
    pending: dict[str, _Pending] = field(default_factory=dict)
    outgoing: "queue.SimpleQueue[bytes | None]" = field(default_factory=queue.SimpleQueue)
    stderr: deque[bytes] = field(default_factory=deque)
    stderr_reader: threading.Thread | None = None


class StreamRunner:
    """`in_flight` caps the tasks the plugin works on at once, over all threads."""

    def __init__(
        self,
        plugin: Plugin,
        *,
        in_flight: int,
        silence_seconds: float,
        back_off_seconds: Sequence[float] = BACK_OFF_SECONDS,
    ) -> None:
        self.plugin = plugin
        self.back_off_seconds = back_off_seconds
        self.silence_seconds = silence_seconds
        self._capacity = threading.BoundedSemaphore(in_flight)
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._ends_in_a_row = 0
        self._blocked_until = 0.0
        self._closed = threading.Event()
        threading.Thread(target=self._watch, name=f"{plugin.id}-watchdog", daemon=True).start()

    def run(self, tasks: Sequence[Task], *, start_within_seconds: float) -> Iterator[list[Result]]:
        """Yields what has come in each second, or each 500 results."""
        answers: queue.SimpleQueue[Result] = queue.SimpleQueue()
        unsent = deque(tasks)
        waiting = 0
        give_up_at = time.monotonic() + start_within_seconds
        flush = _Flush()
        while unsent or waiting:
            while unsent and self._capacity.acquire(blocking=False):
                self._submit(unsent.popleft(), answers.put)
                waiting += 1
            if unsent and time.monotonic() > give_up_at:
                logger.warning("plugin %s: %d tasks could not start in time", self.plugin.id, len(unsent))
                unsent.clear()
            pause = CAPACITY_POLL_SECONDS if unsent else flush.remaining()
            with suppress(queue.Empty):
                flush.add(answers.get(timeout=min(pause, WATCH_SECONDS)))
                waiting -= 1
            if self._closed.is_set():
                raise RunnerClosed(f"the worker ends while {waiting + len(unsent)} tasks are open")
            if flush.is_due():
                yield flush.take()
        if flush.results:
            yield flush.take()

    def close(self) -> None:
        """Ends the plugin: EOF, then SIGTERM for what it is still working on, then SIGKILL.

        Whoever waits in run() gets RunnerClosed.
        """
        self._closed.set()
        with self._lock:
            process = self._process
        if process is None:
            return
        process.outgoing.put(None)
        if not _ends_within(process.popen, EOF_SECONDS):
            process.popen.terminate()
            if not _ends_within(process.popen, TERM_SECONDS):
                logger.warning("plugin %s did not end on its own and is killed", self.plugin.id)
        kill_group(process.popen)  # with whatever it left behind in its group

    # --- submitting -------------------------------------------------------------------------------

    def _submit(self, task: Task, deliver: Deliver) -> None:
        """Never blocks and always delivers once: the plugin's answer or one made up."""

        def once(result: Result) -> None:
            self._capacity.release()
            deliver(result)

        with self._lock:
            reason = self._ensure_started()
            process = self._process
            if process is not None and task.request_id in process.pending:
                process, reason = None, "a task of the same request_id is under way"
            if process is not None:
                deadline = time.monotonic() + task.timeout_seconds + GRACE_SECONDS
                if not process.pending and not process.is_mute:
                    process.waiting_since = time.monotonic()
                process.pending[task.request_id] = _Pending(deadline, once)
                process.outgoing.put(task.to_json() + b"\n")
                return
        once(failed(task.request_id, ErrorCode.INTERNAL, reason, was_attempted=False))

    def _ensure_started(self) -> str:
        """Starts the process if there is none; the reason why there is none, or ''. Called under the lock."""
        if self._process is not None:
            return ""
        if self._closed.is_set():
            return "the worker is shutting down"
        pause = self._blocked_until - time.monotonic()
        if pause > 0:
            return f"the plugin ended unexpectedly and is started again in {pause:.1f} s"
        try:
            popen = start(self.plugin, "--stream")
        except OSError as error:
            self._back_off()
            return f"the plugin cannot be started: {error.strerror}"
        process = _Process(popen)
        try:
            process.stderr_reader = self._thread(self._read_stderr, process)
            self._thread(self._read, process)
            self._thread(self._write, process)
        except RuntimeError as error:  # no more threads can be had
            process.is_settled = True
            kill_group(popen)
            self._back_off()
            return f"the plugin cannot be started: {error}"
        self._process = process
        return ""

    def _thread(self, target: Callable[[_Process], None], process: _Process) -> threading.Thread:
        thread = threading.Thread(
            target=target, args=(process,), name=f"{self.plugin.id}-{target.__name__}", daemon=True
        )
        thread.start()
        return thread

    def _back_off(self) -> None:
        step = min(self._ends_in_a_row, len(self.back_off_seconds) - 1)
        self._blocked_until = time.monotonic() + self.back_off_seconds[step]
        self._ends_in_a_row += 1

    # --- the process's own threads ----------------------------------------------------------------

    def _write(self, process: _Process) -> None:
        stdin = process.popen.stdin
        assert stdin  # noqa: S101 (started with pipes)
        with suppress(OSError, ValueError):  # it ended: the reader notices and settles everything
            while (line := process.outgoing.get()) is not None:
                view = memoryview(line)
                while view:
                    view = view[os.write(stdin.fileno(), view) :]
        with suppress(OSError):
            stdin.close()

    def _read(self, process: _Process) -> None:
        assert process.popen.stdout  # noqa: S101
        with process.popen.stdout as stdout:
            try:
                self._read_lines(process, stdout.fileno())
            except Exception:
                logger.exception("plugin %s: its output cannot be read", self.plugin.id)
            finally:
                self._settle(process)  # whatever happens, nobody waits for ever

    def _read_lines(self, process: _Process, descriptor: int) -> None:
        rest = bytearray()
        while chunk := os.read(descriptor, READ_BYTES):
            with self._lock:
                process.waiting_since, process.is_mute = time.monotonic(), False
            *lines, last = chunk.split(b"\n")
            for line in lines:
                rest += line
                if rest.strip():
                    self._answer(process, bytes(rest))
                rest.clear()
            rest += last
            if len(rest) > MAX_STDOUT_BYTES:
                logger.error("plugin %s wrote a line of more than %d bytes", self.plugin.id, MAX_STDOUT_BYTES)
                return

    def _read_stderr(self, process: _Process) -> None:
        assert process.popen.stderr  # noqa: S101
        kept = 0
        with process.popen.stderr as stderr:
            while chunk := os.read(stderr.fileno(), READ_BYTES):
                log_stderr(self.plugin.id, chunk)
                process.stderr.append(chunk)
                kept += len(chunk)
                while kept > MAX_STDERR_BYTES and len(process.stderr) > 1:
                    kept -= len(process.stderr.popleft())

    def _answer(self, process: _Process, line: bytes) -> None:
        try:
            result = parse_result(parse_json(line))
        except InvalidResult as error:
            logger.error("plugin %s wrote an unusable line: %s", self.plugin.id, error)
            return
        with self._lock:
            pending = process.pending.pop(result.request_id, None)
            self._ends_in_a_row = 0
        if pending is None:  # after its timeout, or twice
            logger.info("plugin %s answered a task nobody waits for", self.plugin.id)
        else:
            pending.deliver(result)

    def _settle(self, process: _Process) -> None:
        """The process ended or is to be ended: everybody who waits gets an answer, and the next start waits a
        while. Done once, by its reader or by the watchdog.
        """
        with self._lock:
            if process.is_settled:
                return
            process.is_settled = True
        kill_group(process.popen)
        if process.stderr_reader:
            process.stderr_reader.join(STDERR_SECONDS)  # its last words belong into the reason
        with self._lock:
            if self._process is process:
                self._process = None
                if not self._closed.is_set():
                    self._back_off()
            waiting, process.pending = process.pending, {}
        process.outgoing.put(None)
        if not self._closed.is_set():
            tail = b"".join(process.stderr)[-200:].decode(errors="replace").strip()
            reason = f"the plugin ended with exit code {process.popen.returncode}: {tail}"
            logger.error("plugin %s: %s; %d tasks were waiting", self.plugin.id, reason, len(waiting))
            count({("plugin_ends", self.plugin.id): 1})
        else:
            reason = "the worker is shutting down"
        for request_id, pending in waiting.items():
            pending.deliver(failed(request_id, ErrorCode.INTERNAL, reason))

    # --- the watchdog -----------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._closed.wait(WATCH_SECONDS):
            with self._lock:
                process = self._process
            if process is not None:
                self._expire(process)
                self._bury(process)

    def _expire(self, process: _Process) -> None:
        now = time.monotonic()
        with self._lock:
            late = [key for key, pending in process.pending.items() if pending.deadline <= now]
            expired = [(key, process.pending.pop(key)) for key in late]
            process.is_mute = process.is_mute or bool(expired)
            is_silent = bool(process.pending) and now - process.waiting_since > self.silence_seconds
        for request_id, pending in expired:
            pending.deliver(failed(request_id, ErrorCode.INTERNAL, "the plugin did not answer in time"))
        if is_silent:
            logger.error(
                "plugin %s said nothing for %g s while tasks waited and is killed",
                self.plugin.id,
                self.silence_seconds,
            )
            kill_group(process.popen)  # the reader sees the end and settles the rest

    def _bury(self, process: _Process) -> None:
        """Ends what the reader does not see end: something that the plugin left behind, in a session of its
        own, may hold its output open.
        """
        if not await_exit(process.popen, lambda: True):
            return
        process.exited_at = process.exited_at or time.monotonic()
        if time.monotonic() - process.exited_at > LAST_WORDS_SECONDS:
            self._settle(process)


def _ends_within(process: "subprocess.Popen[bytes]", seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    return await_exit(process, lambda: time.monotonic() > deadline)


class _Flush:
    """Results gathered for one hand-over."""

    def __init__(self) -> None:
        self.results: list[Result] = []
        self.characters = 0
        self.opened = 0.0

    def add(self, result: Result) -> None:
        if not self.results:
            self.opened = time.monotonic()
        self.results.append(result)
        self.characters += len(result.data or "")

    def remaining(self) -> float:
        if not self.results:
            return FLUSH_SECONDS
        return max(0.0, self.opened + FLUSH_SECONDS - time.monotonic())

    def is_due(self) -> bool:
        is_full = len(self.results) >= FLUSH_RESULTS or self.characters >= FLUSH_CHARACTERS
        return is_full or (bool(self.results) and self.remaining() <= 0)

    def take(self) -> list[Result]:
        taken, self.results, self.characters = self.results, [], 0
        return taken
