"""One SNMP agent, asked by gufo-snmp: versions and keys, tries, requests of a size that arrives.

UDP loses messages, so each request is sent up to three times; the task's own deadline stands above that.
"""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from gufo.snmp import (
    Aes128Key,
    Aes192Key,
    Aes256Key,
    DesKey,
    KeyExpansion,
    Md5Key,
    NoSuchInstance,
    Sha1Key,
    Sha224Key,
    Sha256Key,
    Sha384Key,
    Sha512Key,
    SnmpDecodeError,
    SnmpEncodeError,
    SnmpVersion,
    User,
    ValueType,
)
from gufo.snmp.aio import SnmpSession

from plugins.contract import Task
from plugins.kit.tasks import InvalidTask, choice_of, needed_text_of
from plugins.snmp import mib

VERSIONS = {"1": SnmpVersion.v1, "2c": SnmpVersion.v2c, "3": SnmpVersion.v3}
AUTH_KEYS = {
    "MD5": Md5Key,
    "SHA": Sha1Key,
    "SHA-224": Sha224Key,
    "SHA-256": Sha256Key,
    "SHA-384": Sha384Key,
    "SHA-512": Sha512Key,
}
PRIV_KEYS = {"DES": DesKey, "AES": Aes128Key, "AES-192": Aes192Key, "AES-256": Aes256Key}
EXPANSIONS = {"blumenthal": KeyExpansion.Blumenthal, "cisco": KeyExpansion.Cisco}

TRIES = 3
MAX_TRY_SECONDS = 3.0
# About 25 bytes an object: a request of 40 and its answer fit into an Ethernet frame.
OBJECTS_A_REQUEST = 40
# Rows of a table in one answer: agents are known to fail with more than 25, and rows of 255 characters must
# fit into gufo-snmp's 4,080 bytes.
NUMBERS, TEXTS = 25, 10
INCOMPLETE = "incomplete"  # what gufo-snmp says of an answer beyond its buffer
MAX_ROWS = 5_000  # of one table's column: an agent that never ends must not hold us
# An engine's time may be off by 150 s (RFC 3414, section 2.2.3): after a pause it is asked for again.
REFRESH_SECONDS = 120.0

Values = dict[str, ValueType]
Answer = TypeVar("Answer")


class AgentError(Exception):
    """The agent answers something else than SNMP promises."""


class Client:
    """Raises TimeoutError, OSError, gufo's SnmpError and AgentError."""

    def __init__(self, task: Task) -> None:
        self.version = VERSIONS[choice_of(task.credentials, "version", tuple(VERSIONS), "2c")]
        self._target, self._port = task.target, task.port
        self._options = _options(task.credentials, self.version)
        self._try_seconds = min(MAX_TRY_SECONDS, task.timeout_seconds / (TRIES + 0.5))
        self._session: SnmpSession | None = None
        self._asked_at = 0.0
        self._objects = OBJECTS_A_REQUEST

    async def get_many(self, oids: Sequence[str]) -> Values:
        """The values the agent has; an object it lacks is left out.

        gufo-snmp tells nothing of an answer's error status: such an answer is empty. sysUpTime, which every
        agent has, goes with each request, so that an empty one is no riddle.
        """
        found: Values = {}
        start = 0
        while start < len(oids):
            part = list(oids[start : start + self._objects])
            answer = await self._get(part)
            if answer is None:  # it does not fit (tooBig), or one object spoils it (SNMP v1: noSuchName)
                if self.version is not SnmpVersion.v1 and self._objects > 1:
                    self._objects = max(1, self._objects // 2)
                    continue
                answer = await self._one_by_one(part)
            found.update(answer)
            start += len(part)
        return found

    async def _get(self, oids: Sequence[str]) -> Values | None:
        asked = oids if mib.SYS_UPTIME in oids else [mib.SYS_UPTIME, *oids]
        try:
            answer: Values = await self._try(lambda session: session.get_many(asked))
        except SnmpEncodeError:  # the request itself is too large, by a long community or engine id
            return None
        except SnmpDecodeError as error:
            if str(error) != INCOMPLETE:
                raise
            return None
        return answer if mib.SYS_UPTIME in answer else None

    async def _one_by_one(self, oids: Sequence[str]) -> Values:
        found: Values = {}
        for oid in oids:
            try:
                value: ValueType = await self._try(lambda session, oid=oid: session.get(oid))  # type: ignore[misc]
            except NoSuchInstance:
                continue
            if value is not None:
                found[oid] = value
        return found

    async def column(self, oid: str, *, rows_at_once: int = NUMBERS) -> dict[str, ValueType]:
        """A column of a table by index (the rest of the OID); empty where there is no such table."""
        found: dict[str, ValueType] = {}
        prefix = f"{oid}."
        session = await self._try(_itself)
        is_bulk = self.version is not SnmpVersion.v1
        rows = session.getbulk(oid, rows_at_once) if is_bulk else session.getnext(oid)
        while len(found) < MAX_ROWS:
            try:
                name, value = await self._try(lambda _: anext(rows))
            except StopAsyncIteration:
                return found
            except NoSuchInstance:  # SNMP v1 says so at the end of the view
                return found
            index = name.removeprefix(prefix)
            if index in found:
                raise AgentError(f"the agent's table {oid} runs in a circle")
            found[index] = value
        raise AgentError(f"the agent's table {oid} has more than {MAX_ROWS:,} rows")

    def close(self) -> None:
        self._session = None  # gufo closes its socket with its last reference

    async def _try(self, ask: Callable[[SnmpSession], Awaitable[Answer]]) -> Answer:
        for attempt in range(1, TRIES + 1):
            started = time.monotonic()
            try:
                answer = await ask(await self._open())
                self._asked_at = time.monotonic()
                return answer
            except TimeoutError:
                if time.monotonic() - started < self._try_seconds / 2:
                    # What gufo-snmp makes of a closed port, whose host says so at once (ICMP port
                    # unreachable).
                    raise ConnectionRefusedError from None
                if attempt == TRIES:
                    if self.version is SnmpVersion.v3:
                        self.close()  # an agent set up anew drops what is for its old engine id
                    raise
        raise AssertionError("unreachable")

    async def _open(self) -> SnmpSession:
        is_stale = self.version is SnmpVersion.v3 and time.monotonic() - self._asked_at > REFRESH_SECONDS
        if self._session is None:
            address = await resolve(self._target, self._port)
            self._session = SnmpSession(address, port=self._port, timeout=self._try_seconds, **self._options)
            is_stale = self.version is SnmpVersion.v3
        if is_stale:
            session, self._session = self._session, None  # a refresh that fails leaves nothing half-made
            await session.refresh()
            self._session = session
        return self._session


async def _itself(session: SnmpSession) -> SnmpSession:
    return session


async def resolve(target: str, port: int) -> str:
    """The first address of a name. Raises OSError (socket.gaierror)."""
    try:
        return str(ipaddress.ip_address(target))
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(target, port)
        return str(found[0][4][0])


def _options(credentials: Mapping[str, Any], version: SnmpVersion) -> dict[str, Any]:
    if version is not SnmpVersion.v3:
        return {"version": version, "community": needed_text_of(credentials, "community")}
    return {"version": version, "user": _user(credentials)}


def _user(credentials: Mapping[str, Any]) -> User:
    auth = choice_of(credentials, "auth_protocol", ("", *AUTH_KEYS), "")
    priv = choice_of(credentials, "priv_protocol", ("", *PRIV_KEYS), "")
    if priv and not auth:
        raise InvalidTask("credentials: priv_protocol needs auth_protocol")
    return User(
        needed_text_of(credentials, "username"),
        auth_key=AUTH_KEYS[auth](needed_text_of(credentials, "auth_password").encode()) if auth else None,
        priv_key=PRIV_KEYS[priv](needed_text_of(credentials, "priv_password").encode()) if priv else None,
        key_expansion=EXPANSIONS[choice_of(credentials, "key_expansion", tuple(EXPANSIONS), "blumenthal")],
    )
