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
from gevent.os import make_nonblocking, nb_read, nb_write
from gevent.pool import Pool

from plugins.contract import Operation
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
from plugins.winrm.cache import SessionCache
from plugins.winrm.collector import Collector

BATCH_GREENLETS = 150
STREAM_GREENLETS = 1_000
READ_BYTES = 64 * 1024
END_SECONDS = 2.0
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
    pool = Pool(BATCH_GREENLETS)
    results = pool.map(lambda item: encode(_answer(collector, item, operation)), items)
    cache.close(END_SECONDS)
    sys.stdout.buffer.write(b"[" + b",".join(results) + b"]")
    return 0


def stream() -> int:
    """One task a line in, one result a line out as each ends; EOF or SIGTERM ends it, every shell deleted."""
    cache = SessionCache(max_sessions=raise_file_limit() - SPARE_FILES)
    collector = Collector(cache)
    pool = Pool(STREAM_GREENLETS)
    lock = BoundedSemaphore(1)
    make_nonblocking(sys.stdin.fileno())
    make_nonblocking(sys.stdout.fileno())
    sweeper = gevent.spawn(cache.sweep)
    reader = gevent.spawn(_read_tasks, pool, collector, lock)
    gevent.signal_handler(signal.SIGTERM, _stop, reader, pool)
    reader.join()
    pool.join()
    sweeper.kill()
    cache.close(END_SECONDS)
    return 0


def _stop(reader: Any, pool: Any) -> None:
    """Tasks under way are given up; the session cache deletes their shells. The reader ends first: it may
    have a line in hand that becomes a task.
    """
    reader.kill()
    pool.kill(block=False)


def _read_tasks(pool: Any, collector: Collector, lock: Any) -> None:
    for line in _lines(sys.stdin.fileno()):
        pool.spawn(_answer_line, collector, line, lock)  # waits while the pool is full: the pipe is the queue


def _lines(descriptor: int) -> Iterator[bytes]:
    rest = b""
    while chunk := nb_read(descriptor, READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line.strip())
    if rest.strip():
        yield rest


def _answer_line(collector: Collector, line: bytes, lock: Any) -> None:
    try:
        item = parse_line(line)
    except orjson.JSONDecodeError as error:
        say(f"a line on stdin is not valid JSON: {error}")
        return
    result = encode(_answer(collector, item, Operation.POLL)) + b"\n"
    with lock:  # a line is written whole
        view = memoryview(result)
        while view:
            view = view[nb_write(sys.stdout.fileno(), view) :]


def _answer(collector: Collector, item: Any, operation: Operation) -> ResultFields:
    try:
        task = parse_task(item, operation)
    except InvalidTask as error:
        return refused(item, error)
    return collector.work(task)
