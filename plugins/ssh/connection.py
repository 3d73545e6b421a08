"""One SSH connection: login, host key, and a shell that reads our script.

Nothing of the account we run as takes part: no agent, no configuration file, no key and no known_hosts of its
own.
"""

import asyncio
import hashlib
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.public_key import get_default_certificate_algs, get_default_public_key_algs

from plugins.contract import Task
from plugins.kit.keep import Recent
from plugins.kit.tasks import InvalidTask, choice_of, needed_text_of, text_of

POLICIES = ("strict", "trust_on_first_use")
REMEMBERED_KEY = "host_key"  # in a result's `remember`: the key in OpenSSH's form
CONNECT_SECONDS = 10.0
KEEPALIVE_SECONDS = 30.0
MAX_KEYS = 1_000
MAX_OUTPUT_BYTES = 1024 * 1024
MAX_LOGIN_BYTES = 64 * 1024  # that a host may send until the login; OpenSSH sends some 5 KiB
SLICE_BYTES = 4 * 1024
MAX_GREETING_BYTES = 4 * 1024  # of what a host says before its version
MARK, DF_MARK, END_MARK = b"@nms-", b"@nms-df\n", b"@nms-end"
PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
PEM_LINE = 64
BLANKS = re.compile(r"\\[rn]|\s")  # also the two characters that stand for a line break in JSON


class HostKeyRefused(Exception):
    """The host's key is not one we trust; the message says which it showed, and the remedy."""


class ScriptError(Exception):
    """The host's shell answered something else than the script's output."""


class LoginTooLong(Exception):
    """The host sent more than MAX_LOGIN_BYTES before the login."""


class SessionRefused(Exception):
    """The host closed the connection before the login; the message holds the text it sent."""

    @property
    def is_quota(self) -> bool:
        """OpenSSH's words for too many logins at once, and for an address that is kept out for a while."""
        return "MaxStartups" in str(self) or "Not allowed at this time" in str(self)


@lru_cache(maxsize=1)
def script() -> bytes:
    return (Path(__file__).parent / "collect.sh").read_bytes()


class Connection:
    """Raise OSError, asyncssh.Error, HostKeyRefused, LoginTooLong, SessionRefused and ScriptError."""

    def __init__(
        self, client: asyncssh.SSHClientConnection, learned_key: str, *, relies_on_remembered: bool
    ) -> None:
        self._client = client
        self.learned_key = learned_key  # "" unless it was trusted on first use just now
        self.relies_on_remembered = relies_on_remembered
        shown = client.get_server_host_key()
        self.host_key = _openssh(shown) if shown else ""

    @property
    def is_open(self) -> bool:
        return not self._client.is_closed()

    async def run(self, source: bytes, *, df_seconds: float) -> bytes:
        """Return what a POSIX shell prints for `source`, whatever shell the account logs in with.

        The output ends early where df has been silent for `df_seconds`: a file system does not answer.
        """
        process: asyncssh.SSHClientProcess[bytes] = await self._client.create_process("sh", encoding=None)
        try:
            with suppress(BrokenPipeError):  # a shell that ended before it was asked: it said nothing
                process.stdin.write(source)
                process.stdin.write_eof()
            output = await _read_output(process, df_seconds)
            if MARK not in output:
                stderr = await process.stderr.read(1_000)
                await process.wait_closed()
                said = readable(output + b"\n" + stderr) or "nothing"
                raise ScriptError(
                    f"the host did not run the script (exit code {process.exit_status}), it said: {said}"
                )
        finally:
            process.close()
        return output

    async def close(self) -> None:
        self._client.close()
        await self._client.wait_closed()

    def abort(self) -> None:
        self._client.abort()


async def connect(task: Task, keys: "KeyRing") -> Connection:
    credentials = task.credentials
    policy = choice_of(credentials, "host_key_policy", POLICIES, "strict")
    trust = _trust_of(credentials, task)
    own_keys = await keys.keys_of(credentials)
    password = text_of(credentials, "password") or None
    if not own_keys and password is None:
        raise InvalidTask("credentials: password or private_key is needed")
    may_learn = policy == "trust_on_first_use" and not trust[0] and not trust[1]
    guard = _HostKeyGuard(may_learn=may_learn, password=password)
    wire = _Wire()
    try:
        client = await asyncssh.connect(
            task.target,
            task.port,
            tunnel=wire,
            client_factory=lambda: guard,
            username=needed_text_of(credentials, "username"),
            password=password,
            client_keys=own_keys or None,
            known_hosts=trust,
            server_host_key_algs=_algorithms(trust),
            agent_path=None,
            config=[],
            gss_host=None,
            gss_kex=False,
            gss_auth=False,
            preferred_auth="publickey,keyboard-interactive,password"
            if own_keys
            else "password,keyboard-interactive",
            connect_timeout=min(CONNECT_SECONDS, task.timeout_seconds),
            login_timeout=task.timeout_seconds,
            # A connection that a firewall forgot is noticed between two polls, not by a poll's time-out.
            keepalive_interval=KEEPALIVE_SECONDS,
            keepalive_count_max=2,
            compression_algs=["none"],  # what is compressed has no bound when it is unpacked
        )
    except asyncssh.HostKeyNotVerifiable:
        raise HostKeyRefused(guard.words(has_known=bool(trust[0] or trust[1]))) from None
    except (asyncssh.ConnectionLost, ConnectionError):
        if wire.tap is not None and wire.tap.is_too_long:
            raise LoginTooLong from None
        if wire.tap is None or not wire.tap.greeting:
            raise
        raise SessionRefused(readable(wire.tap.greeting)) from None
    if wire.tap is not None:
        wire.tap.lift_limit()
    return Connection(
        client, guard.learned_key, relies_on_remembered=bool(task.remembered.get(REMEMBERED_KEY))
    )


async def _read_output(process: "asyncssh.SSHClientProcess[bytes]", df_seconds: float) -> bytes:
    output = b""
    while True:
        try:
            async with asyncio.timeout(df_seconds if DF_MARK in output else None):
                chunk = await process.stdout.read(64 * 1024)
        except TimeoutError:
            return output
        output += chunk
        if len(output) > MAX_OUTPUT_BYTES:
            raise ScriptError("the host's output has no end")
        if not chunk or END_MARK in output[-len(END_MARK) - 2 :]:
            return output


def readable(raw: bytes) -> str:
    """Return what a host said, as one line without control characters, for an error."""
    text = "".join(one if one.isprintable() else " " for one in raw.decode(errors="replace"))
    return " ".join(text.split())[:200]


class _Wire:
    """Connects for asyncssh, in place of a tunnel, and keeps what the host sends before its version.

    asyncssh skips these lines (RFC 4253, section 4.2), where OpenSSH gives its reason for closing a
    connection.
    """

    def __init__(self) -> None:
        self.tap: _Tap | None = None

    async def create_connection(
        self, session_factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        def tapped() -> asyncio.Protocol:
            connection = session_factory()
            self.tap = _Tap(connection)
            return connection

        return await asyncio.get_running_loop().create_connection(tapped, host, port)


class _Tap:
    """Hands received bytes on to asyncssh in slices, one each turn of the loop, and bounded until the login.

    asyncssh handles everything it is given at once, so a host that sends a thousand packets in one read would
    hold up all others.
    """

    def __init__(self, connection: Any) -> None:
        self.greeting = b""
        self.is_too_long = False
        self._connection = connection
        self._receive: Callable[[bytes], None] = connection.data_received
        connection.data_received = self._data_received
        self._unread = bytearray()
        self._received = 0
        self._is_greeted = False
        self._is_limited = True

    def lift_limit(self) -> None:
        """To be called after the login."""
        self._is_limited = False

    def _data_received(self, data: bytes, datatype: Any = None) -> None:
        self._received += len(data)
        if self._is_limited and self._received > MAX_LOGIN_BYTES:
            self.is_too_long = True
            self._unread.clear()
            self._connection._transport.abort()
            return
        if not self._is_greeted:
            self.greeting = (self.greeting + data)[:MAX_GREETING_BYTES]
            if b"SSH-" in self.greeting or len(self.greeting) == MAX_GREETING_BYTES:
                self.greeting, self._is_greeted = b"", True
        is_idle = not self._unread
        self._unread += data
        if is_idle:
            self._hand_on()

    def _hand_on(self) -> None:
        part = bytes(self._unread[:SLICE_BYTES])
        if part:
            self._receive(part)
        del self._unread[:SLICE_BYTES]
        transport = self._connection._transport
        if transport is None or transport.is_closing():
            self._unread.clear()
        elif self._unread:
            transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._hand_on)
        else:
            transport.resume_reading()


class _HostKeyGuard(asyncssh.SSHClient):
    """Asked by asyncssh for keys that are not known, and for the answers to a host's prompts; keeps the key
    that the host showed for the message.
    """

    def __init__(self, *, may_learn: bool, password: str | None) -> None:
        self._may_learn = may_learn
        self._password = password
        self._shown: asyncssh.SSHKey | None = None

    @property
    def learned_key(self) -> str:
        return _openssh(self._shown) if self._may_learn and self._shown else ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self._shown = key
        return self._may_learn

    def kbdint_auth_requested(self) -> str | None:
        """Called before keyboard-interactive authentication (RFC 4256); None skips it."""
        return None if self._password is None else ""

    def kbdint_challenge_received(
        self, name: str, instructions: str, lang: str, prompts: Sequence[tuple[str, bool]]
    ) -> list[str] | None:
        """Answer the one prompt that is not echoed with the password, once, in whatever language it is."""
        if not prompts:
            return []
        password, self._password = self._password, None
        if len(prompts) != 1 or prompts[0][1] or password is None:
            return None
        return [password]

    def words(self, *, has_known: bool) -> str:
        shown = (
            f" It showed {_openssh(self._shown)} ({self._shown.get_fingerprint()})." if self._shown else ""
        )
        if has_known:
            return (
                "the host's key is not the known one: it was set up anew, or somebody stands in between."
                f"{shown} If it is right, put it into known_hosts, or have the device forget its key."
            )
        return (
            f"the host's key is not known.{shown} Put it into the credential's known_hosts, or set "
            "host_key_policy to trust_on_first_use."
        )


def _openssh(key: asyncssh.SSHKey) -> str:
    """Type and key, without a comment."""
    return " ".join(key.export_public_key("openssh").decode("ascii").split()[:2])


Trust = tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]


def _trust_of(credentials: Mapping[str, Any], task: Task) -> Trust:
    """(keys, certificate authorities, revoked keys) for the task's host."""
    address = task.target if _is_address(task.target) else ""
    found = _known_hosts(text_of(credentials, "known_hosts")).match(task.target, address, task.port)
    keys: Sequence[Any]
    keys, authorities, revoked = found[0], found[1], found[2]
    remembered = task.remembered.get(REMEMBERED_KEY)
    learned = [_public_key(remembered)] if remembered else []
    return [*keys, *learned], list(authorities), list(revoked)


def _is_address(target: str) -> bool:
    try:
        ipaddress.ip_address(target)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=256)
def _known_hosts(text: str) -> asyncssh.SSHKnownHosts:
    try:
        return asyncssh.import_known_hosts(text)
    except ValueError as error:
        raise InvalidTask(f"credentials: known_hosts cannot be read: {error}") from None


@lru_cache(maxsize=50_000)
def _public_key(text: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_public_key(text)
    except asyncssh.KeyImportError:
        raise InvalidTask("remembered: host_key is no OpenSSH public key") from None


class KeyRing:
    """Private keys, opened once each and away from the loop: a passphrase is slow to try, by design."""

    def __init__(self) -> None:
        self._opened: Recent[asyncio.Task[asyncssh.SSHKey | None]] = Recent(MAX_KEYS)

    async def keys_of(self, credentials: Mapping[str, Any]) -> list[asyncssh.SSHKey]:
        """None or one. Raises InvalidTask for a key that cannot be opened, each time at no cost."""
        text = text_of(credentials, "private_key")
        if not text:
            return []
        passphrase = text_of(credentials, "passphrase")
        name = hashlib.sha256(f"{passphrase}\0{text}".encode()).digest()
        opening = self._opened.get(name)
        if opening is None:
            opening = asyncio.create_task(asyncio.to_thread(_private_key, text, passphrase or None))
            self._opened.swap(name, opening)
        key = await asyncio.shield(opening)
        if key is None:
            raise InvalidTask(
                "credentials: private_key cannot be opened: not a private key, or a wrong passphrase"
            )
        return [key]


def _private_key(text: str, passphrase: str | None) -> asyncssh.SSHKey | None:
    try:
        return asyncssh.import_private_key(pem_repaired(text), passphrase)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        return None


def pem_repaired(text: str) -> str:
    """Return a key as it was before it was pasted: indented, on one line, behind a byte order mark."""
    found = PEM.search(text)
    if found is None:
        return text.strip() + "\n"
    kind, body = found.groups()
    if ":" in body:  # headers (RFC 1421), whose line breaks cannot be guessed
        lines = [line.strip() for line in body.strip().splitlines()]
    else:
        whole = BLANKS.sub("", body)
        lines = [whole[at : at + PEM_LINE] for at in range(0, len(whole), PEM_LINE)]
    return "\n".join((f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""))


def _algorithms(trust: Trust) -> list[str]:
    """Of host keys, in the order we like them: the kinds of the known keys first, since a host has several,
    then all others, so that one that shows another kind is told so in words. Certificates only where an
    authority is known.
    """
    keys, authorities, _ = trust
    known = [algorithm for key in keys for algorithm in key.sig_algorithms]
    certificates = get_default_certificate_algs() if authorities else []
    modern_first = sorted(get_default_public_key_algs(), key=lambda name: not name.startswith(b"ssh-ed25519"))
    names = [*known, *certificates, *modern_first] if known else [*certificates, *modern_first]
    return [name.decode("ascii") for name in dict.fromkeys(names)]


def is_lost(error: BaseException) -> bool:
    """Whether a kept connection that fails like this may just have died while it was idle."""
    return isinstance(
        error,
        asyncssh.ConnectionLost | asyncssh.ChannelOpenError | ConnectionError | asyncio.IncompleteReadError,
    )
