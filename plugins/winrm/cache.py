"""Sessions kept between polls: one for each host and credential, used by one greenlet at a time.

A kept NTLM connection dies after about two minutes without a request, so what was not used for IDLE_SECONDS
is closed, its shell deleted; the least recently used goes first when there are too many.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import orjson
from gevent.lock import BoundedSemaphore
from gevent.pool import Group

from plugins.contract import Task
from plugins.winrm.session import HostSession

IDLE_SECONDS = 100.0
MAX_SESSIONS = 10_000
SWEEP_SECONDS = 5.0
CLOSING_AT_ONCE = 64

Key = tuple[str, int, bytes]


class _Entry:
    def __init__(self, session: HostSession) -> None:
        self.session = session
        self.lock = BoundedSemaphore(1)
        self.used_at = time.monotonic()


class SessionCache:
    def __init__(self, *, max_sessions: int = MAX_SESSIONS, idle_seconds: float = IDLE_SECONDS) -> None:
        self.max_sessions = max_sessions
        self.idle_seconds = idle_seconds
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._closing = Group()
        self._closing_slots = BoundedSemaphore(CLOSING_AT_ONCE)

    @contextmanager
    def session(self, task: Task) -> Iterator[HostSession]:
        """The host's session, for this greenlet alone. After any exception it is thrown away, its shell
        deleted.
        """
        key = _key(task)
        entry = self._acquire(key, task)
        try:
            yield entry.session
        except BaseException:
            self._remove(key, entry)
            self.discard(entry.session.abandon)
            raise
        else:
            entry.used_at = time.monotonic()
            if key in self._entries:
                self._entries.move_to_end(key)
        finally:
            entry.lock.release()
        self._evict()

    def discard(self, close: Callable[[], None]) -> None:
        """Closes a session in a greenlet of its own; never waits."""
        self._closing.start(gevent.Greenlet(self._close_one, close))

    def sweep(self) -> None:
        """Closes idle sessions, for ever; a greenlet of its own."""
        while True:
            gevent.sleep(SWEEP_SECONDS)
            limit = time.monotonic() - self.idle_seconds
            idle = [(key, entry) for key, entry in self._entries.items() if entry.used_at < limit]
            for key, entry in idle:
                if not entry.lock.locked() and self._remove(key, entry):
                    self.discard(entry.session.close)

    def close(self, timeout_seconds: float) -> None:
        """Deletes every shell, as far as the time allows."""
        while self._entries:
            _, entry = self._entries.popitem()
            self.discard(entry.session.close)
        self._closing.join(timeout=timeout_seconds)

    def _acquire(self, key: Key, task: Task) -> _Entry:
        """The key's entry with its lock held. An entry that failed while we waited for it is not used
        again.
        """
        while True:
            entry = self._entries.get(key)
            if entry is None:
                new = HostSession(task.target, task.port, task.credentials, task.timeout_seconds)
                entry = self._entries[key] = _Entry(new)
            entry.lock.acquire()
            if self._entries.get(key) is entry:
                return entry
            entry.lock.release()

    def _remove(self, key: Key, entry: _Entry) -> bool:
        if self._entries.get(key) is not entry:
            return False
        del self._entries[key]
        return True

    def _close_one(self, close: Callable[[], None]) -> None:
        with self._closing_slots:
            close()

    def _evict(self) -> None:
        while len(self._entries) > self.max_sessions:
            key = next((key for key, entry in self._entries.items() if not entry.lock.locked()), None)
            if key is None:
                return
            self.discard(self._entries.pop(key).session.close)


def _key(task: Task) -> Key:
    secret = hashlib.sha256(orjson.dumps(dict(task.credentials), option=orjson.OPT_SORT_KEYS)).digest()
    return task.target, task.port, secret
