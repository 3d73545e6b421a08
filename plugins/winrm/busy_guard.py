"""Stop a greenlet that does not give up the processor: one host must not hold up the others.

gevent switches greenlets only where one waits. A reply that arrives faster than it is read makes no greenlet
wait, so the loop that reads it blocks the whole process, and no deadline of gevent's can fire.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import gevent

CHECK_SECONDS = 0.5  # of processor time: a process that was stopped, or is starved by others, uses none
BUSY_SECONDS = 2.0


class KeptBusy(BaseException):
    """A host kept the plugin busy. Not an Exception, so that no library takes it for an error to retry."""


_for_hosts: set[Any] = set()  # the greenlets that may be ended


@contextmanager
def working_for_a_host() -> Iterator[None]:
    """Let the guard end this greenlet within the block. Only a host's answers can keep one busy for long."""
    greenlet = gevent.getcurrent()
    _for_hosts.add(greenlet)
    try:
        yield
    finally:
        _for_hosts.discard(greenlet)


class BusyGuard:
    """Raise KeptBusy in a greenlet that works for a host and has not given up the processor for BUSY_SECONDS.

    A context manager: its timer must end before the interpreter does, which takes its handler away first.
    """

    def __init__(self, busy_seconds: float = BUSY_SECONDS) -> None:
        self._busy_seconds = busy_seconds
        self._hub = gevent.get_hub()
        self._turns = 0
        self._seen: tuple[int, Any] = (0, None)  # the turn and the greenlet of the last check
        self._busy = 0.0
        self._counter = self._hub.loop.prepare(ref=False)
        self._counter.start(self._count)

    def __enter__(self) -> None:
        signal.signal(signal.SIGPROF, self._check)
        signal.setitimer(signal.ITIMER_PROF, CHECK_SECONDS, CHECK_SECONDS)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        self._counter.stop()

    def _count(self) -> None:
        """Called at each turn of gevent's loop."""
        self._turns += 1

    def _check(self, number: int, frame: FrameType | None) -> None:
        current = gevent.getcurrent()
        # Many greenlets may run in one turn, none of them for long.
        if (self._turns, current) != self._seen:
            self._seen, self._busy = (self._turns, current), 0.0
            return
        self._busy += CHECK_SECONDS
        if self._busy >= self._busy_seconds and current in _for_hosts:
            self._busy = 0.0
            raise KeptBusy
