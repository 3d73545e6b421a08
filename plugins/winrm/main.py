"""Batch mode and stream mode of the WinRM plugin: tasks in on stdin, results out on stdout, one greenlet a
host.
"""

import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import gevent
import orjson
from gevent.lock import BoundedSemaphore
from gevent.monkey import get_original
from gevent.os import make_nonblocking, nb_read, nb_write
from gevent.pool import Pool

from plugins.contract import Operation
from plugins.kit.pipes import has_reader
from plugins.kit.stall import BEAT_SECONDS
from plugins.kit.tasks import (
    InvalidBatch,
    InvalidTask,
    ResultFields,
    encode,
    operation_of,
    parse_batch,
    parse_line,
    parse_task,
    raise_file_limit,
    refused,
    say,
)
from plugins.winrm.busy_guard import BusyGuard
from plugins.winrm.cache import SessionCache
from plugins.winrm.collector import Collector

BATCH_GREENLETS = 150
STREAM_GREENLETS = 1_000
READ_BYTES = 64 * 1024
END_SECONDS = 2.0
ORPHAN_SECONDS = 10.0  # to delete shells in when the host has ended: no process waits for this one
SPARE_FILES = 512  # connections that are being opened, and pipes


def main(arguments: Sequence[str]) -> int:
    # The operator chose not to verify; a line for each request on stderr tells nobody anything new.
    warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    return stream() if "--stream" in arguments else batch(operation_of(arguments))


def batch(operation: Operation) -> int:
    """One array in, one array out; exit code 0 means that the array is valid."""
    try:
        items = parse_batch(sys.stdin.buffer.read())
    except InvalidBatch as error:
        say(str(error))
        return 2
    cache = SessionCache(max_sessions=raise_file_limit() - SPARE_FILES)
    collector = Collector(cache)
    gevent.spawn(_beat, collector)
    with BusyGuard():
        results = Pool(BATCH_GREENLETS).map(lambda item: encode(_answer(collector, item, operation)), items)
        cache.close(END_SECONDS)
    sys.stdout.buffer.write(b"[" + b",".join(results) + b"]")
    return 0


def stream() -> int:
    """Answer one task a line until EOF, SIGTERM, or the end of the host; then delete every shell.

    At EOF the tasks under way are finished. On SIGTERM, and when nothing reads stdout, they are given up.
    """
    running = _Stream()
    gevent.signal_handler(signal.SIGTERM, running.stop)
    with BusyGuard():
        running.run()
    return 0


def _beat(collector: Collector) -> None:
    while True:
        gevent.sleep(BEAT_SECONDS)
        collector.stalls.beat()


class _Stream:
    def __init__(self) -> None:
        self._cache = SessionCache(max_sessions=raise_file_limit() - SPARE_FILES)
        self._collector = Collector(self._cache)
        self._pool = Pool(STREAM_GREENLETS)
        self._lock = BoundedSemaphore(1)
        self._is_unread = False  # the host has ended
        make_nonblocking(sys.stdin.fileno())
        make_nonblocking(sys.stdout.fileno())
        self._reader = gevent.spawn(self._read_tasks)

    def run(self) -> None:
        gevent.spawn(_beat, self._collector)
        sweeper = gevent.spawn(self._cache.sweep)
        self._reader.join()
        if not has_reader(sys.stdout.fileno(), poll=get_original("select", "poll")):
            self._note_unread()
        self._pool.join()
        sweeper.kill()
        self._cache.close(ORPHAN_SECONDS if self._is_unread else END_SECONDS)

    def stop(self) -> None:
        """Give up the tasks under way; the session cache deletes their shells. The reader ends first: it may
        have a line in hand that becomes a task.
        """
        self._reader.kill()
        self._pool.kill(block=False)

    def _read_tasks(self) -> None:
        for line in _lines(sys.stdin.fileno()):
            self._pool.spawn(self._answer_line, line)  # waits while the pool is full: the pipe is the queue

    def _answer_line(self, line: bytes) -> None:
        try:
            item = parse_line(line)
        except orjson.JSONDecodeError as error:
            say(f"a line on stdin is not valid JSON: {error}")
            return
        result = encode(_answer(self._collector, item, Operation.POLL)) + b"\n"
        try:
            with self._lock:  # a line is written whole
                view = memoryview(result)
                while view:
                    view = view[nb_write(sys.stdout.fileno(), view) :]
        except OSError:
            self._note_unread()

    def _note_unread(self) -> None:
        if not self._is_unread:
            self._is_unread = True
            self.stop()


def _lines(descriptor: int) -> Iterator[bytes]:
    rest = b""
    while chunk := nb_read(descriptor, READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line.strip())
    if rest.strip():
        yield rest


def _answer(collector: Collector, item: Any, operation: Operation) -> ResultFields:
    try:
        task = parse_task(item, operation)
    except InvalidTask as error:
        return refused(item, error)
    return collector.work(task)
