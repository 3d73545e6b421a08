"""Notice that PostgreSQL's clock, by which slots are due, was set back."""

import time
from collections.abc import Callable

from django.db import connection

JUMP_SECONDS = 2.0


class ClockWatch:
    """Compares PostgreSQL's clock with this machine's monotonic one, from one call to the next."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._offset: float | None = None

    def offset(self) -> float | None:
        """Return the seconds from the monotonic clock to PostgreSQL's, or None where the query was too
        slow to measure them. One query.
        """
        started = self._monotonic()
        with connection.cursor() as cursor:
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
            (now,) = cursor.fetchone()
        ended = self._monotonic()
        return None if ended - started > JUMP_SECONDS / 2 else now - (started + ended) / 2

    def was_set_back(self, offset: float) -> bool:
        """Return whether the clock fell by more than JUMP_SECONDS since the offset that was kept last."""
        return self._offset is not None and offset < self._offset - JUMP_SECONDS

    def keep(self, offset: float) -> None:
        """To be called once what follows from the offset has been done: a failure is tried again then."""
        self._offset = offset
