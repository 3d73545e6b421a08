"""Hear an agent that answers from another address than it was asked at.

gufo-snmp connects its socket to the agent, so the kernel drops what comes from elsewhere: from another
interface of a router, or from the active node behind a shared address. gufo-snmp talks to the relay instead,
on loopback, whose outer socket is not connected. It still checks request id and community, or user, of
each answer.
"""

import asyncio
import ipaddress
from collections.abc import Callable
from typing import Any

LOOPBACK = "127.0.0.1"


class Relay:
    """Passes datagrams between one client on loopback and one agent."""

    def __init__(self) -> None:
        self.port = 0  # on LOOPBACK, where the client sends to
        self._target = ""
        self._answered_from = ""  # the address of the last answer
        self._inner: asyncio.DatagramTransport | None = None
        self._outer: asyncio.DatagramTransport | None = None
        self._client: Any = None
        self.error: OSError | None = None  # the last that this machine had while it sent to the agent

    @classmethod
    async def open(cls, target: str, port: int) -> "Relay":
        """Raise OSError where no socket can be had."""
        relay, loop = cls(), asyncio.get_running_loop()
        relay._target = target
        anywhere = "::" if ipaddress.ip_address(target).version == 6 else "0.0.0.0"  # noqa: S104 (answers only)
        try:
            relay._outer, _ = await loop.create_datagram_endpoint(
                lambda: _Side(relay._from_agent, relay._note_error), local_addr=(anywhere, 0)
            )
            relay._inner, _ = await loop.create_datagram_endpoint(
                lambda: _Side(
                    lambda data, peer: relay._to_agent(data, peer, (target, port)), relay._note_error
                ),
                local_addr=(LOOPBACK, 0),
            )
        except OSError:
            relay.close()
            raise
        relay.port = relay._inner.get_extra_info("sockname")[1]
        return relay

    def is_needless(self) -> bool:
        """Return whether the last answer came from the address that was asked."""
        answered_from = self._answered_from.partition("%")[0]
        return bool(answered_from) and ipaddress.ip_address(answered_from) == ipaddress.ip_address(
            self._target
        )

    def close(self) -> None:
        for transport in (self._inner, self._outer):
            if transport is not None:
                transport.close()

    def _to_agent(self, data: bytes, peer: Any, agent: tuple[str, int]) -> None:
        self._client = peer
        if self._outer is not None:
            self._outer.sendto(data, agent)

    def _from_agent(self, data: bytes, peer: Any) -> None:
        self._answered_from, self.error = str(peer[0]), None
        if self._inner is not None and self._client is not None:
            self._inner.sendto(data, self._client)

    def _note_error(self, error: Exception) -> None:
        if isinstance(error, OSError):
            self.error = error


class _Side(asyncio.DatagramProtocol):
    def __init__(
        self, receive: Callable[[bytes, Any], None], note_error: Callable[[Exception], None]
    ) -> None:
        self._receive = receive
        self._note_error = note_error

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._receive(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._note_error(exc)
