"""PostgreSQL that does not do its work is unavailable, whatever psycopg makes of it.

One that takes no writes any more, such as one that a switchover left behind, is an error of ours to psycopg.
One that is frozen behind its socket never answers: no timeout of the server's, nor of TCP, ends the wait.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import InternalError, OperationalError
from psycopg import OperationalError as PsycopgOperationalError
from psycopg.errors import ReadOnlySqlTransaction
from psycopg.errors import (
    _WaitTimeout as WaitTimeout,
)  # no public name; psycopg documents that wait() raises it

_limit_seconds: ContextVar[float | None] = ContextVar("postgres_limit_seconds", default=None)


@contextmanager
def answers_within(seconds: float) -> Iterator[None]:
    """Within this block, have each wait for PostgreSQL end after so long, where connections are bounded."""
    token = _limit_seconds.set(seconds)
    try:
        yield
    finally:
        _limit_seconds.reset(token)


def waits_bound(connection: Any, seconds: float) -> None:
    """Have each wait for PostgreSQL on this connection of Django's end after `seconds`, with
    OperationalError. The connection is closed then: it is in the middle of a statement.
    """
    raw = connection.connection
    wait = raw.wait

    def bounded(generator: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        if timeout is not None:
            return wait(generator, interval, timeout)  # the caller handles its end
        limit = _limit_seconds.get() or seconds
        try:
            return wait(generator, interval, limit)
        except WaitTimeout:
            raw.pgconn.finish()
            raise PsycopgOperationalError(f"PostgreSQL did not answer within {limit:g} s.") from None

    raw.wait = bounded


def watch(connection: Any, **_: Any) -> None:
    """For the signal of a new connection; Django's wrapper of one outlasts it."""
    if _executed not in connection.execute_wrappers:
        connection.execute_wrappers.append(_executed)


def _executed(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: Any) -> Any:
    try:
        return execute(sql, params, many, context)
    except InternalError as error:
        if not isinstance(error.__cause__, ReadOnlySqlTransaction):
            raise
        context["connection"].close()  # the next one is asked for a server that takes writes
        raise OperationalError("PostgreSQL takes no writes any more.") from error.__cause__
