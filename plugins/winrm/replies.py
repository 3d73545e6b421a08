"""HTTP replies of bounded size, also before their body: interim responses, headers, chunk sizes and trailers.

http.client reads interim responses (RFC 9110, section 15.2) in a loop without end, and under gevent a loop
that always finds data does not let any other greenlet run.
"""

import http.client
import io
from typing import Any

import gevent
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 1024 * 1024  # Windows' own limit is half of that
YIELD_BYTES = 64 * 1024


class ReplyTooLarge(Exception):
    """A reply that no Windows host would send.

    Not an OSError, so that urllib3 does not take it for a lost connection.
    """


class _Reply(http.client.HTTPResponse):
    """http.client's, reading from a _BoundedReader."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._raw = _BoundedReader(self.fp.detach())
        self.fp = io.BufferedReader(self._raw)

    def begin(self) -> None:
        """Read interim responses, if any, and the head of the final one."""
        self._raw.allow(MAX_HEAD_BYTES, "its header")
        super().begin()
        self._raw.allow(MAX_BODY_BYTES, "its body")


class _BoundedReader(io.RawIOBase):
    """Read from a socket's raw stream up to a limit, and let other greenlets run in between."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._sock = raw._sock  # where requests_ntlm looks for the certificate to bind its login to
        self._left = 0
        self._limit = 0
        self._part = ""
        self._unyielded = 0

    def allow(self, limit: int, part: str) -> None:
        """Limit what is read from now on; `part` names it in the error."""
        self._left = self._limit = limit
        self._part = part

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Raise ReplyTooLarge beyond the limit."""
        if self._unyielded >= YIELD_BYTES:
            self._unyielded = 0
            gevent.sleep(0)
        count: int | None = self._raw.readinto(buffer)
        self._unyielded += count or 0
        self._left -= count or 0
        if self._left < 0:
            raise ReplyTooLarge(f"the host's reply is too large: {self._part} has over {self._limit} bytes")
        return count

    def fileno(self) -> int:
        return int(self._raw.fileno())

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Connection(HTTPConnection):
    response_class = _Reply


class _TLSConnection(HTTPSConnection):
    response_class = _Reply


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


POOLS = {"http": _Pool, "https": _TLSPool}
