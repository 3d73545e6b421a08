"""PostgreSQL that takes no writes any more, such as one that a switchover left behind, is away: psycopg calls
that an error of ours.
"""

from collections.abc import Callable
from typing import Any

from django.db import InternalError, OperationalError
from psycopg.errors import ReadOnlySqlTransaction


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
