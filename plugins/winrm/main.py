"""Batch mode and stream mode of the WinRM plugin: tasks in on stdin, results out on stdout, one greenlet a
host.
"""

import resource
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

from plugins.contract import ErrorCode, Operation, Task
from plugins.winrm.cache import SessionCache
from plugins.winrm.collector import ResultFields, answer, failure, work

BATCH_GREENLETS = 150
STREAM_GREENLETS = 1_000
DEFAULT_TIMEOUT_SECONDS = 20.0
READ_BYTES = 64 * 1024
END_SECONDS = 2.0
MAX_FILES = 20_000
SPARE_FILES = 512  # connections that are being opened, and pipes


class InvalidTask(ValueError):
    """A task that cannot be worked on; the message names the field."""


def main(arguments: Sequence[str]) -> int:
    # The operator chose not to verify; a line for each request on stderr tells nobody anything new.
    warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    if "--stream" in arguments:
        return stream()
    return batch(Operation.DISCOVERY if "-discovery" in arguments else Operation.POLL)


def batch(operation: Operation) -> int:
    """One array in, one array out; exit code 0 means that the array is valid."""
    raw = sys.stdin.buffer.read().strip()
    try:
        items = orjson.loads(raw.removeprefix(b"\xef\xbb\xbf") or b"[]")
    except orjson.JSONDecodeError as error:
        print(f"stdin is not valid JSON: {error}", file=sys.stderr)  # noqa: T201 (words for people)
        return 2
    if not isinstance(items, list):
        print("stdin must hold one JSON array of tasks", file=sys.stderr)  # noqa: T201
        return 2
    cache = SessionCache()
    pool = Pool(BATCH_GREENLETS)
    results = [pool.spawn(_answer, cache, item, operation) for item in items]
    pool.join()
    cache.close(END_SECONDS)
    sys.stdout.buffer.write(b"[" + b",".join(encode(result.value) for result in results) + b"]")
    return 0


def stream() -> int:
    """One task a line in, one result a line out as each ends; EOF or SIGTERM ends it, every shell deleted."""
    cache = SessionCache(max_sessions=_raise_file_limit() - SPARE_FILES)
    pool = Pool(STREAM_GREENLETS)
    lock = BoundedSemaphore(1)
    make_nonblocking(sys.stdin.fileno())
    make_nonblocking(sys.stdout.fileno())
    sweeper = gevent.spawn(cache.sweep)
    reader = gevent.spawn(_read_tasks, pool, cache, lock)
    gevent.signal_handler(signal.SIGTERM, _stop, reader, pool)
    reader.join()
    pool.join()
    sweeper.kill()
    cache.close(END_SECONDS)
    return 0


def _raise_file_limit() -> int:
    """Each kept session is an open file; the usual soft limit of 1,024 is soon reached. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, MAX_FILES) if hard != resource.RLIM_INFINITY else MAX_FILES
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)


def _stop(reader: Any, pool: Any) -> None:
    """Tasks under way are given up; the session cache deletes their shells."""
    reader.kill(block=False)
    pool.kill(block=False)


def _read_tasks(pool: Any, cache: SessionCache, lock: Any) -> None:
    for line in _lines(sys.stdin.fileno()):
        pool.spawn(_answer_line, cache, line, lock)  # waits while the pool is full: the pipe is the queue


def _lines(descriptor: int) -> Iterator[bytes]:
    rest = b""
    while chunk := nb_read(descriptor, READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line.strip())
    if rest.strip():
        yield rest


def _answer_line(cache: SessionCache, line: bytes, lock: Any) -> None:
    try:
        item = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        print(f"a line on stdin is not valid JSON: {error}", file=sys.stderr)  # noqa: T201
        return
    result = encode(_answer(cache, item, Operation.POLL)) + b"\n"
    with lock:  # a line is written whole
        view = memoryview(result)
        while view:
            view = view[nb_write(sys.stdout.fileno(), view) :]


def _answer(cache: SessionCache, item: Any, operation: Operation) -> ResultFields:
    try:
        task = parse_task(item, operation)
    except InvalidTask as error:
        fields = item if isinstance(item, dict) else {}
        request_id = str(fields.get("request_id", ""))
        target, port = str(fields.get("target", "")), fields.get("port", 0)
        return answer(
            request_id, target, port, fields.get("device_id"), failure(ErrorCode.INTERNAL, str(error))
        )
    return work(cache, task)


def encode(result: ResultFields) -> bytes:
    try:
        return orjson.dumps(result)
    except TypeError:  # a host answered with nesting deeper than orjson writes
        keys = ("request_id", "device_id", "target", "port")
        shown = {key: result[key] for key in keys}
        return orjson.dumps(
            {**shown, **failure(ErrorCode.SCRIPT, "the host's document is nested too deeply")}
        )


def parse_task(item: Any, operation: Operation) -> Task:
    """Unknown keys are ignored. Raises InvalidTask."""
    if not isinstance(item, dict):
        raise InvalidTask("a task must be an object")
    credentials = item.get("credentials")
    if isinstance(credentials, str):
        try:
            credentials = orjson.loads(credentials)
        except orjson.JSONDecodeError:
            raise InvalidTask("credentials: the string does not hold JSON") from None
    if not isinstance(credentials, dict) or not {"username", "password"} <= credentials.keys():
        raise InvalidTask("credentials: username and password are needed")
    request_id, target, port = item.get("request_id"), item.get("target"), item.get("port")
    if not isinstance(request_id, str) or not isinstance(target, str) or not isinstance(port, int):
        raise InvalidTask("request_id and target must be strings, port a number")
    timeout = item.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)
    if not isinstance(timeout, int | float) or timeout <= 0:
        raise InvalidTask("timeout_seconds must be a positive number")
    return Task(
        request_id=request_id,
        target=target,
        port=port,
        credentials=credentials,
        timeout_seconds=float(timeout),
        device_id=item.get("device_id"),
        operation=Operation(item.get("operation") or operation),
    )
