"""Batch and stream mode on asyncio, and sessions kept between tasks: a plugin brings only its `Worker`."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, Protocol, TypeVar

import orjson

from plugins.contract import ErrorCode, Operation, Task
from plugins.kit.keep import Entry, Keep, key_of
from plugins.kit.pipes import has_reader
from plugins.kit.stall import BEAT_SECONDS, StallMeter
from plugins.kit.tasks import (
    InvalidBatch,
    InvalidTask,
    ResultFields,
    answer,
    encode,
    failure,
    operation_of,
    parse_batch,
    parse_line,
    parse_task,
    refused,
    refused_task,
    say,
)

BATCH_TASKS = 500  # worked on at once
STREAM_TASKS = 2_000
END_SECONDS = 2.0
ORPHAN_SECONDS = 10.0  # to close sessions in when the host has ended: no process waits for this one
SWEEP_SECONDS = 5.0
MAX_UNWRITTEN = 16 * 1024 * 1024


class Worker(Protocol):
    async def work(self, task: Task) -> ResultFields:
        """The result's fields of a success; whatever it raises, `classify` puts into words."""
        ...

    def classify(self, error: BaseException, task: Task) -> tuple[ErrorCode, str]:
        """Return (code, message) for what `work` raised; the message holds no secret."""
        ...

    async def close(self) -> None:
        """Ends every session, within END_SECONDS."""
        ...


def main(arguments: Sequence[str], make_worker: Callable[[], Worker]) -> int:
    """The plugin's exit code: 0, or 2 for input that holds no tasks."""
    if "--stream" in arguments:
        return asyncio.run(_stream(make_worker))
    try:
        items = parse_batch(sys.stdin.buffer.read())
    except InvalidBatch as error:
        say(str(error))
        return 2
    results = asyncio.run(_batch(make_worker, items, operation_of(arguments)))
    sys.stdout.buffer.write(b"[" + b",".join(results) + b"]")
    return 0


async def _batch(make_worker: Callable[[], Worker], items: list[Any], operation: Operation) -> list[bytes]:
    edge = _Edge(make_worker())
    results: list[bytes] = [b""] * len(items)
    remaining = iter(enumerate(items))

    async def pull() -> None:
        for index, item in remaining:
            results[index] = encode(await edge.answer(item, operation))

    await asyncio.gather(*(pull() for _ in range(min(BATCH_TASKS, len(items)))))
    await edge.worker.close()
    return results


async def _stream(make_worker: Callable[[], Worker]) -> int:
    """Answer tasks until EOF, SIGTERM, or the end of the host, then close every session.

    At EOF the tasks under way are finished. On SIGTERM, and when nothing reads stdout, they are cancelled.
    """
    edge, output = _Edge(make_worker()), _Output(sys.stdout.fileno())
    under_way: set[asyncio.Task[None]] = set()
    reader = asyncio.ensure_future(_read(edge, output, under_way))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _cancel, reader, under_way)
    output.on_unread = lambda: _cancel(reader, under_way)
    with suppress(asyncio.CancelledError):
        await reader
    if not has_reader(sys.stdout.fileno()):
        output.note_unread()
    while under_way:
        await asyncio.wait(under_way)
    with suppress(TimeoutError):
        await asyncio.wait_for(edge.worker.close(), ORPHAN_SECONDS if output.is_unread else END_SECONDS)
    await output.drained(below=1)
    return 0


def _cancel(reader: "asyncio.Future[None]", under_way: "set[asyncio.Task[None]]") -> None:
    reader.cancel()
    for task in under_way:
        task.cancel()


async def _read(edge: "_Edge", output: "_Output", under_way: "set[asyncio.Task[None]]") -> None:
    free = asyncio.Semaphore(STREAM_TASKS)

    async def one(line: bytes) -> None:
        try:
            await _answer_line(edge, output, line)
        finally:
            free.release()

    async for line in _lines():
        await free.acquire()  # while all are taken the pipe is the queue
        await output.drained(below=MAX_UNWRITTEN)
        task = asyncio.create_task(one(line))
        under_way.add(task)
        task.add_done_callback(under_way.discard)


async def _lines() -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    stdin = asyncio.StreamReader()
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    except ValueError:  # a file, which can be read at once
        stdin.feed_data(sys.stdin.buffer.read())
        stdin.feed_eof()
    rest = b""
    while chunk := await stdin.read(64 * 1024):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line.strip():
                yield line
    if rest.strip():
        yield rest


async def _answer_line(edge: "_Edge", output: "_Output", line: bytes) -> None:
    try:
        item = parse_line(line)
    except orjson.JSONDecodeError as error:
        say(f"a line on stdin is not valid JSON: {error}")
        return
    output.write(encode(await edge.answer(item, Operation.POLL)) + b"\n")


class _Edge:
    """The border between tasks and the plugin's worker: every task gets exactly one result."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self._stalls = StallMeter()
        self._beats = asyncio.create_task(self._beat())

    async def answer(self, item: Any, operation: Operation) -> ResultFields:
        try:
            task = parse_task(item, operation)
        except InvalidTask as error:
            return refused(item, error)
        started, stalled_before = time.monotonic(), self._stalls.stalled_seconds()
        try:
            async with asyncio.timeout(task.timeout_seconds):
                fields = await self.worker.work(task)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise
        except InvalidTask as error:
            return refused_task(task, error)
        # Not only Exception: a panic of a library written in Rust is a BaseException.
        except BaseException as error:  # noqa: BLE001 (whatever happens to one target is its result)
            fields = failure(*self._stalls.explain(*self.worker.classify(error, task), stalled_before))
        fields["duration_ms"] = round((time.monotonic() - started) * 1_000, 3)
        return answer(task, fields)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            self._stalls.beat()


class _Output:
    """stdout without waiting: lines that are written in one turn of the loop go out in one call."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unwritten = bytearray()
        self._is_scheduled = False
        self._moved = asyncio.Event()
        self.is_unread = False  # the process at the other end has ended
        self.on_unread: Callable[[], None] = lambda: None
        os.set_blocking(descriptor, False)

    def write(self, line: bytes) -> None:
        self._unwritten += line
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    async def drained(self, *, below: int) -> None:
        """Waits until fewer bytes than that wait to be written."""
        while len(self._unwritten) >= below:
            self._moved.clear()
            await self._moved.wait()

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            written = os.write(self._descriptor, self._unwritten)
        except BlockingIOError:
            loop.add_writer(self._descriptor, self._flush)
            return
        except OSError:
            written = len(self._unwritten)
            self.note_unread()
        del self._unwritten[:written]
        self._moved.set()
        if self._unwritten:
            loop.add_writer(self._descriptor, self._flush)
        else:
            loop.remove_writer(self._descriptor)
            self._is_scheduled = False

    def note_unread(self) -> None:
        if not self.is_unread:
            self.is_unread = True
            self.on_unread()


class Kept(Protocol):
    """A session that can be kept."""

    def survives(self, error: BaseException) -> bool:
        """Whether it is of use after this error."""
        ...

    async def close(self) -> None:
        """Never raises."""
        ...


KeptSession = TypeVar("KeptSession", bound=Kept)


class SessionCache(Generic[KeptSession]):
    """One session for each host and credential, used by one task at a time."""

    def __init__(
        self, make: Callable[[Task], KeptSession], *, max_sessions: int, idle_seconds: float
    ) -> None:
        self._make = make
        self._idle_seconds = idle_seconds
        self._keep: Keep[KeptSession] = Keep(max_sessions)
        self._closing: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def session(self, task: Task) -> AsyncIterator[KeptSession]:
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep())
        key = key_of(task)
        entry = await self._acquire(key, task)
        try:
            yield entry.session
        except BaseException as error:
            if not entry.session.survives(error) and self._keep.remove(key, entry):
                self._discard(entry.session)
            raise
        finally:
            entry.lock.release()
            self._keep.touch(key, entry)
        for session in self._keep.take_surplus():
            self._discard(session)

    async def close(self) -> None:
        if self._sweeper:
            self._sweeper.cancel()
        for session in self._keep.take_all():
            self._discard(session)
        if self._closing:
            await asyncio.wait(self._closing, timeout=END_SECONDS)

    async def _acquire(self, key: Any, task: Task) -> Entry[KeptSession]:
        """With its lock held. An entry that was thrown away while we waited for it is not used again."""
        while True:
            entry = self._keep.get(key)
            if entry is None:
                entry = self._keep.put(key, Entry(self._make(task), asyncio.Lock()))
            await entry.lock.acquire()
            if self._keep.get(key) is entry:
                return entry
            entry.lock.release()

    def _discard(self, session: KeptSession) -> None:
        closing = asyncio.create_task(session.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for session in self._keep.take_idle(self._idle_seconds):
                self._discard(session)
