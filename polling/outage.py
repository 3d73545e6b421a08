"""What a task does when a server it needs is away: put its message back after a pause, and never lose it.

The pause grows with each failure of this process and holds the thread: while PostgreSQL is away there is
nothing better to do.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from celery.exceptions import Reject
from django.db import close_old_connections

from polling.shutdown import stopping

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 30.0

_lock = threading.Lock()
_failures_in_a_row = 0


def pause_seconds(failures: int) -> float:
    return float(min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(failures, 10)))


@contextmanager
def message_kept_on(*errors: type[Exception]) -> Iterator[None]:
    """Turns these errors into a rejected message that the broker delivers again."""
    global _failures_in_a_row
    try:
        yield
    except errors as error:
        with _lock:
            pause = pause_seconds(_failures_in_a_row)
            _failures_in_a_row += 1
        logger.warning("the message is put back in %.1f s: %s: %s", pause, type(error).__name__, error)
        close_old_connections()
        stopping.wait(pause)
        raise Reject(error, requeue=True) from error
    with _lock:
        _failures_in_a_row = 0
