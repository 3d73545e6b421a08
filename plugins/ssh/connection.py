"""One SSH connection: login, host key, and a shell that reads our script.

Nothing of the account we run as takes part: no agent, no configuration file, no key and no known_hosts of its
own.
"""

import asyncio
import hashlib
import ipaddress
from collections.abc import Mapping, Sequence
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


class HostKeyRefused(Exception):
    """The host's key is not one we trust; the message says which it showed, and the remedy."""


class ScriptError(Exception):
    """The host's shell answered something else than the script's output."""


@lru_cache(maxsize=1)
def script() -> bytes:
    return (Path(__file__).parent / "collect.sh").read_bytes()


class Connection:
    """Raises OSError, asyncssh.Error, HostKeyRefused and ScriptError."""

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

    async def run(self, source: bytes) -> bytes:
        """What a POSIX shell prints for `source`, whatever shell the account logs in with."""
        process: asyncssh.SSHClientProcess[bytes] = await self._client.create_process("sh", encoding=None)
        async with process:
            with suppress(BrokenPipeError):  # a shell that ended before it was asked: it said nothing
                process.stdin.write(source)
                process.stdin.write_eof()
            output = b""
            while chunk := await process.stdout.read(64 * 1024):
                output += chunk
                if len(output) > MAX_OUTPUT_BYTES:
                    raise ScriptError("the host's output has no end")
            stderr = await process.stderr.read(1_000)
            await process.wait_closed()
        if not output.strip():
            words = stderr.decode(errors="replace").strip()
            raise ScriptError(
                f"the host's shell said nothing: {words[:200] or 'exit code'} {process.exit_status}"
            )
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
    guard = _HostKeyGuard(may_learn=may_learn)
    try:
        client = await asyncssh.connect(
            task.target,
            task.port,
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
        )
    except asyncssh.HostKeyNotVerifiable:
        raise HostKeyRefused(guard.words(has_known=bool(trust[0] or trust[1]))) from None
    return Connection(
        client, guard.learned_key, relies_on_remembered=bool(task.remembered.get(REMEMBERED_KEY))
    )


class _HostKeyGuard(asyncssh.SSHClient):
    """Asked by asyncssh for keys that are not known; keeps what the host showed for the message."""

    def __init__(self, *, may_learn: bool) -> None:
        self._may_learn = may_learn
        self._shown: asyncssh.SSHKey | None = None

    @property
    def learned_key(self) -> str:
        return _openssh(self._shown) if self._may_learn and self._shown else ""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        self._shown = key
        return self._may_learn

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
        return asyncssh.import_private_key(text.strip() + "\n", passphrase)
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError):
        return None


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
