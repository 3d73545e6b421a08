"""gufo-snmp's session, without its loop over datagrams that may never end.

Its receive function, in Rust, skips datagrams that are not the answer until the socket is empty. A peer that
sends faster than they are skipped would hold the whole process. While it runs, a filter on the socket drops
what arrives, so it sees no more than the socket's buffer holds, and every other session gets its turn. The
time-out does not begin again with each of them.
"""

import asyncio
import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from gufo.snmp.aio import SnmpSession

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # socket(7)
DROP_ALL = ctypes.create_string_buffer(
    struct.pack("HBBI", 0x06, 0, 0, 0)
)  # BPF: return 0 bytes of any packet

Answer = TypeVar("Answer")


class _Filter(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


_FILTER = _Filter(1, ctypes.addressof(DROP_ALL))
_NOTHING = ctypes.c_int(0)
_libc = ctypes.CDLL(None, use_errno=True)


class BoundedSession(SnmpSession):
    async def _recv(self, receiver: Callable[[], Answer]) -> Answer:
        async with asyncio.timeout(self._timeout):
            while True:
                await self._readable()
                with _deaf(self._fd), suppress(BlockingIOError):  # raised where nothing of it was the answer
                    return receiver()

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(self._fd, _set, readable)
        try:
            await readable
        finally:
            loop.remove_reader(self._fd)


@contextmanager
def _deaf(descriptor: int) -> Iterator[None]:
    """Drop what arrives. Nothing is dropped in sandboxes such as gVisor, which have no socket filters."""
    try:
        _set_option(descriptor, SO_ATTACH_FILTER, _FILTER)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        _set_option(descriptor, SO_DETACH_FILTER, _NOTHING)


def _set(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _set_option(descriptor: int, option: int, value: ctypes.Structure | ctypes.c_int) -> None:
    """Through libc: a Python socket would close gufo-snmp's descriptor with itself."""
    size = ctypes.sizeof(value)
    if _libc.setsockopt(descriptor, socket.SOL_SOCKET, option, ctypes.byref(value), size):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
