"""The pipe to the host, as a stream plugin sees it."""

import select
from collections.abc import Callable
from typing import Any


def has_reader(descriptor: int, *, poll: Callable[[], Any] = select.poll) -> bool:
    """Return whether the other end of a pipe is open: it is closed when the host has ended.

    `poll` makes the operating system's poll object. Under gevent that is not `select.poll`: gevent's own
    never reports a closed pipe.
    """
    poller = poll()
    poller.register(descriptor, 0)
    return not any(events & (select.POLLERR | select.POLLHUP) for _, events in poller.poll(0))
