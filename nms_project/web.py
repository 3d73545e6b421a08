"""gunicorn's worker with threads, for which clients that stand still are no end of work."""

import math
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from gunicorn.workers.gthread import ThreadWorker

LINGER_SECONDS = 0.2
DRAINED_BYTES = 64 * 1024  # of a body that nobody read: beyond them gunicorn gives up the connection


class ImpatientSocket(socket.socket):
    """A blocking one that ends what it reads at `read_until` (monotonic), and gives up an answer that is not
    taken for NMS_REQUEST_TIMEOUT_SECONDS, as if the client had gone.
    """

    read_until = math.inf

    def recv(self, *args: Any) -> bytes:
        left = self.read_until - time.monotonic()
        if left <= 0:
            return b""
        try:
            with self._waiting_at_most(left):
                return super().recv(*args)
        except TimeoutError:
            if time.monotonic() < self.read_until:
                raise  # another's limit
            return b""

    def sendall(self, *args: Any) -> None:
        with self._until_taken():
            super().sendall(*args)

    def sendfile(self, *args: Any, **kwargs: Any) -> int:
        with self._until_taken():
            return super().sendfile(*args, **kwargs)

    @contextmanager
    def _until_taken(self) -> Iterator[None]:
        try:
            with self._waiting_at_most(settings.NMS_REQUEST_TIMEOUT_SECONDS):
                yield
        except TimeoutError as error:
            raise BrokenPipeError from error

    @contextmanager
    def _waiting_at_most(self, seconds: float) -> Iterator[None]:
        before = self.gettimeout()
        self.settimeout(seconds if before is None else min(before, seconds))
        try:
            yield
        finally:
            self.settimeout(before)


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A request has NMS_REQUEST_TIMEOUT_SECONDS to come: otherwise a thread waited for it for ever."""

    def enqueue_req(self, conn: Any) -> None:
        if not isinstance(conn.sock, ImpatientSocket):
            conn.sock = ImpatientSocket(fileno=conn.sock.detach())
        super().enqueue_req(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """A large body may be refused unread, and what comes after that on its connection is the rest of it:
        the answer says that the connection ends.
        """
        announced = dict(req.headers).get("CONTENT-LENGTH", 0)  # a number, or gunicorn had refused it
        if int(announced) > DRAINED_BYTES:
            req.force_close()
        return super().handle_request(req, conn)

    def handle(self, conn: Any) -> Any:
        """In a thread: reads a request, answers it."""
        conn.sock.read_until = time.monotonic() + settings.NMS_REQUEST_TIMEOUT_SECONDS
        try:
            return super().handle(conn)
        finally:
            # The main loop waits for the end of a client that is sent away, and accepts nobody meanwhile.
            conn.sock.read_until = time.monotonic() + LINGER_SECONDS
