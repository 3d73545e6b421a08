"""Notice that PostgreSQL's clock, by which slots are due, was set back."""

import threading
import time

from django.db import connection

JUMP_SECONDS = 2.0


class ClockWatch:
    """Compares PostgreSQL's clock with this machine's monotonic one, from one call to the next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._offset: float | None = None

    def was_set_back(self) -> bool:
        """Return whether the clock fell by more than JUMP_SECONDS since the last call. One query."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
            (now,) = cursor.fetchone()
        return self.note(now - time.monotonic())

    def note(self, offset: float) -> bool:
        with self._lock:
            before, self._offset = self._offset, offset
        return before is not None and offset < before - JUMP_SECONDS
