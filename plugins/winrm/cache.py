"""Sessions kept between polls: one for each host and credential, used by one greenlet at a time.

A kept NTLM connection dies after about two minutes without a request, so what was not used for IDLE_SECONDS
is closed, its shell deleted; the least recently used goes first when there are too many.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import gevent
from gevent.lock import BoundedSemaphore
from gevent.pool import Group

from plugins.contract import Task
from plugins.kit.keep import Entry, Keep, Key, key_of
from plugins.winrm.busy_guard import KeptBusy, working_for_a_host
from plugins.winrm.session import HostSession

IDLE_SECONDS = 100.0
MAX_SESSIONS = 10_000
SWEEP_SECONDS = 5.0
CLOSING_AT_ONCE = 64


class SessionCache:
    def __init__(self, *, max_sessions: int = MAX_SESSIONS, idle_seconds: float = IDLE_SECONDS) -> None:
        self.idle_seconds = idle_seconds
        self._keep: Keep[HostSession] = Keep(max_sessions)
        self._closing = Group()
        self._closing_slots = BoundedSemaphore(CLOSING_AT_ONCE)

    @contextmanager
    def session(self, task: Task) -> Iterator[HostSession]:
        """The host's session, for this greenlet alone. After any exception it is thrown away, its shell
        deleted.
        """
        key = key_of(task)
        entry = self._acquire(key, task)
        try:
            yield entry.session
        except BaseException:
            self._keep.remove(key, entry)
            self.discard(entry.session.abandon)
            raise
        finally:
            entry.lock.release()
            self._keep.touch(key, entry)
        for session in self._keep.take_surplus():
            self.discard(session.close)

    def discard(self, close: Callable[[], None]) -> None:
        """Closes a session in a greenlet of its own; never waits."""
        self._closing.start(gevent.Greenlet(self._close_one, close))

    def sweep(self) -> None:
        """Closes idle sessions, for ever; a greenlet of its own."""
        while True:
            gevent.sleep(SWEEP_SECONDS)
            for session in self._keep.take_idle(self.idle_seconds):
                self.discard(session.close)

    def close(self, timeout_seconds: float) -> None:
        """Deletes every shell, as far as the time allows."""
        for session in self._keep.take_all():
            self.discard(session.close)
        self._closing.join(timeout=timeout_seconds)

    def _acquire(self, key: Key, task: Task) -> Entry[HostSession]:
        """The key's entry with its lock held. An entry that failed while we waited for it is not used
        again.
        """
        while True:
            entry = self._keep.get(key)
            if entry is None:
                made = HostSession(task.target, task.port, task.credentials, task.timeout_seconds)
                entry = self._keep.put(key, Entry(made, BoundedSemaphore(1)))
            entry.lock.acquire()
            if self._keep.get(key) is entry:
                return entry
            entry.lock.release()

    def _close_one(self, close: Callable[[], None]) -> None:
        with self._closing_slots, suppress(KeptBusy), working_for_a_host():
            close()
