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
    SnmpAuthError,
    SnmpDecodeError,
    SnmpEncodeError,
    SnmpError,
    SnmpVersion,
    User,
    ValueType,
)

from plugins.contract import Task
from plugins.kit.tasks import InvalidTask, choice_of, needed_text_of
from plugins.snmp import mib
from plugins.snmp.bounded_session import BoundedSession
from plugins.snmp.relay import LOOPBACK, Relay

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
MAX_ROWS = 5_000  # of one table's column: an agent that never ends must not hold us
# An engine's time may be off by 150 s (RFC 3414, section 2.2.3): after a pause it is asked for again.
REFRESH_SECONDS = 120.0

MALFORMED = "the agent's answer is malformed"

Values = dict[str, ValueType]
Answer = TypeVar("Answer")
Ask = Callable[[BoundedSession], Awaitable[Answer]]


class AgentError(Exception):
    """The agent answers something else than SNMP promises."""


# Errors that one object can cause on an agent that has answered before: a value that cannot be decoded, or
# one that this user may not read (authorizationError).
OF_ONE_OBJECT = (SnmpAuthError, SnmpDecodeError, AgentError)


class TableError(AgentError):
    """A table that cannot be read to its end; the agent's other objects can."""


class PrivacyRefused(Exception):
    """The agent accepts the user's authentication, but not what is encrypted with the privacy password."""


class Client:
    """Raises TimeoutError, OSError, gufo's SnmpError, AgentError and PrivacyRefused."""

    def __init__(self, task: Task) -> None:
        self.version = VERSIONS[choice_of(task.credentials, "version", tuple(VERSIONS), "2c")]
        self._target, self._port = task.target, task.port
        self._options = _options(task.credentials, self.version)
        self._try_seconds = min(MAX_TRY_SECONDS, task.timeout_seconds / (TRIES + 0.5))
        self._session: BoundedSession | None = None
        self._relay: Relay | None = None
        self._asked_at = 0.0
        self._has_answered = False
        self._is_privacy_suspect = False  # the agent answers the same user without privacy
        self._is_discovered = False  # of SNMP v3: its engine is known
        self._objects = OBJECTS_A_REQUEST
        self._bulk: bool | None = None if self.version is not SnmpVersion.v1 else False  # None: not known yet
        self._columns_without_bulk: set[str] = set()

    async def get_many(self, oids: Sequence[str]) -> Values:
        """Return the values the agent has; an object it lacks is left out.

        gufo-snmp does not report an answer's error status: such an answer is empty. sysUpTime, which every
        agent has, goes with each request, so that an empty one is an error.
        """
        found: Values = {}
        start = timeouts = 0
        size = self._objects
        while start < len(oids):
            part = list(oids[start : start + size])
            try:
                answer = await self._get(part, tries=1 if self._has_answered else TRIES)
            except TimeoutError:
                # Lost, or too large for this agent: some drop what they cannot answer.
                timeouts += 1
                if timeouts == TRIES or not self._has_answered:
                    self._has_answered = False
                    raise
                self._objects = size = max(1, len(part) // 2)
                continue
            if answer is None:  # it does not fit (tooBig), or one object spoils it (SNMP v1: noSuchName)
                if self.version is not SnmpVersion.v1 and len(part) > 1:
                    size = len(part) // 2
                    continue
                answer = await self._one_by_one(part)
            timeouts = 0
            found.update(answer)
            start += len(part)
            size = min(self._objects, size * 2)
        return found

    def grow(self) -> None:
        """Ask for more at once again, in case a request was only lost."""
        self._objects = min(OBJECTS_A_REQUEST, self._objects * 2)
        self._columns_without_bulk.clear()
        if self.version is not SnmpVersion.v1:
            self._bulk = None

    async def _get(self, oids: Sequence[str], *, tries: int) -> Values | None:
        """Return None where the request must be divided."""
        asked = oids if mib.SYS_UPTIME in oids else [mib.SYS_UPTIME, *oids]
        try:
            answer: Values = await self._try(lambda session: session.get_many(asked), tries=tries)
        except SnmpEncodeError:  # the request itself is too large, by a long community or engine id
            return None
        except OF_ONE_OBJECT:
            if not self._has_answered:
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
            except OF_ONE_OBJECT:
                if not self._has_answered or oid == mib.SYS_UPTIME:  # which every user may read
                    raise
                continue
            if value is not None:
                found[oid] = value
        return found

    async def column(self, oid: str, *, rows_at_once: int = NUMBERS) -> dict[str, ValueType]:
        """Return a column of a table by index (the rest of the OID); empty where the table does not exist.

        Raise TableError for one without an end. An agent that cannot answer GETBULK is asked by GETNEXT.
        """
        if self._bulk is not False and oid not in self._columns_without_bulk:
            try:
                found = await self._walk(oid, rows_at_once)
            except TableError:
                raise
            except (TimeoutError, SnmpDecodeError, AgentError):
                # Agents may drop GETBULK, or answers that are this large; or a row cannot be decoded.
                found = {}
                self._columns_without_bulk.add(oid)
            if found:
                self._bulk = True
                return found
        found = await self._walk(oid, 0)
        if found and self._bulk is None:
            self._bulk = False
        return found

    async def _walk(self, oid: str, rows_at_once: int) -> dict[str, ValueType]:
        """By GETBULK, or by GETNEXT where `rows_at_once` is 0."""
        found: dict[str, ValueType] = {}
        prefix = f"{oid}."
        rows: Any = None

        def next_row(session: BoundedSession) -> Awaitable[tuple[str, ValueType]]:
            nonlocal rows
            if rows is None:
                rows = session.getbulk(oid, rows_at_once) if rows_at_once else session.getnext(oid)
            return anext(rows)

        tries = 2 if rows_at_once and not self._bulk else TRIES
        while True:
            try:
                name, value = await self._try(next_row, tries=tries)
            except (StopAsyncIteration, NoSuchInstance):  # the latter from SNMP v1 at the end of the view
                return found
            except (SnmpDecodeError, AgentError):
                if rows_at_once or not self._has_answered:
                    raise
                return found  # the rest cannot be reached: GETNEXT goes by the name that was not read
            index = name.removeprefix(prefix)
            if index in found:
                raise TableError(f"the agent's table {oid} is circular")
            if len(found) == MAX_ROWS:
                raise TableError(f"the agent's table {oid} has more than {MAX_ROWS:,} rows")
            found[index] = value

    def renew(self) -> None:
        """Begin a new session, with a new look at the engine's clock."""
        self._session = None  # gufo-snmp closes its socket with its last reference

    def close(self) -> None:
        self._session = None
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    async def _try(self, ask: Ask[Answer], *, tries: int = TRIES) -> Answer:
        """Send a request up to `tries` times.

        The last try to an agent that has never answered goes through a relay, which also hears an answer from
        another address.
        """
        for attempt in range(1, tries + 1):
            started = time.monotonic()
            try:
                answer = await self._ask(ask)
            except TimeoutError:
                if time.monotonic() - started < self._try_seconds / 2:
                    # What gufo-snmp makes of a closed port, whose host says so at once (ICMP port
                    # unreachable).
                    raise ConnectionRefusedError from None
                if not self._has_answered and attempt == TRIES - 1:
                    await self._before_last_try()
                if attempt == tries:
                    raise self._given_up() from None
            else:
                self._asked_at = time.monotonic()
                self._is_privacy_suspect = False
                if not self._has_answered:
                    self._has_answered = True
                    self._drop_needless_relay()
                return answer
        raise AssertionError("unreachable")

    def _given_up(self) -> Exception:
        """Return what kept the agent's answers from us."""
        error = self._relay.error if self._relay is not None else None
        if self.version is SnmpVersion.v3:
            self.renew()  # a reinstalled agent drops messages to its old engine ID
        if self._has_answered:
            return error or TimeoutError()
        self.close()  # with the relay, whose sockets an agent that is down does not need
        return error or (PrivacyRefused() if self._is_privacy_suspect else TimeoutError())

    async def _ask(self, ask: Ask[Answer]) -> Answer:
        try:
            return await ask(await self._open())
        except RuntimeError:  # of gufo-snmp, for an answer with an empty OID
            raise AgentError(MALFORMED) from None
        except BaseException as error:
            # A panic of gufo-snmp's Rust code is not an Exception. The session is usable afterwards.
            if type(error).__name__ != "PanicException":
                raise
            if await self._answers_without_privacy():
                raise PrivacyRefused from None
            raise AgentError(MALFORMED) from None

    async def _open(self) -> BoundedSession:
        is_stale = self.version is SnmpVersion.v3 and time.monotonic() - self._asked_at > REFRESH_SECONDS
        if self._session is None:
            self._session = await self._make_session(self._options)
            is_stale = self.version is SnmpVersion.v3
        if is_stale:
            session, self._session = self._session, None  # a refresh that fails leaves nothing half-made
            try:
                await session.refresh()
            finally:
                # gufo-snmp's note that the agent has answered engine discovery (RFC 3414, section 4)
                self._is_discovered = session._deferred_user is None
            self._session = session
        return self._session

    async def _make_session(self, options: Mapping[str, Any]) -> BoundedSession:
        address, port = await resolve(self._target, self._port), self._port
        if self._relay is not None:
            address, port = LOOPBACK, self._relay.port
        return BoundedSession(address, port=port, timeout=self._try_seconds, **options)

    async def _before_last_try(self) -> None:
        """Look for what may keep an agent's answers from us: the privacy password, or its other address."""
        self._is_privacy_suspect = await self._answers_without_privacy()
        if self._relay is None:
            self.renew()
            self._relay = await Relay.open(await resolve(self._target, self._port), self._port)

    def _drop_needless_relay(self) -> None:
        """The agent answers from the address it was asked at: its first answers were only lost."""
        if self._relay is not None and self._relay.is_needless():
            self.close()

    async def _answers_without_privacy(self) -> bool:
        """Return whether the agent, which has not answered yet, answers the same user without privacy.

        An agent cannot tell a message encrypted with a wrong password from noise, and mostly ignores it.
        """
        user = self._options.get("user")
        if self._has_answered or not self._is_discovered or user is None or user.priv_key is None:
            return False
        try:
            session = await self._make_session(
                {**self._options, "user": User(user.name, auth_key=user.auth_key)}
            )
            async with asyncio.timeout(self._try_seconds):
                await session.refresh()
                await session.get(mib.SYS_UPTIME)
        except TimeoutError:
            return False
        except SnmpError:  # also an answer: most agents refuse such a user without privacy
            pass
        return True


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
