"""One task of the SSH plugin: a kept connection, a poll by one command, or the host's name."""

import asyncio
import re
import shlex
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import asyncssh

from plugins.contract import ErrorCode, Operation, Task
from plugins.kit.aio import END_SECONDS, SessionCache
from plugins.kit.keep import Recent, key_of
from plugins.kit.network import CONNECTION_LOST, classify_bug, classify_network
from plugins.kit.tasks import ResultFields, raise_file_limit, say
from plugins.ssh.connection import (
    MAX_LOGIN_BYTES,
    REMEMBERED_KEY,
    Connection,
    HostKeyRefused,
    KeyRing,
    LoginTooLong,
    ScriptError,
    SessionRefused,
    connect,
    is_lost,
    script,
)
from plugins.ssh.document import (
    Counters,
    NotLinux,
    counters_of,
    disk_probe_of,
    document_of,
    hostname_of,
    marked,
    sections_of,
)

IDLE_SECONDS = 330.0  # longer than a five-minute interval
SPARE_FILES = 512
REMEMBERED_HOSTS = 50_000
# A host met for the first time is read twice, so that its first document has rates, too.
FIRST_PAUSE_SECONDS = 1.0
DF_SHARE = 0.25  # of a task's time, for df to say something
HUNG_SECONDS = 600.0  # until a file system that did not answer is asked again
MATCHING_FAILED = re.compile(r"^No matching (.+) algorithm found, sent .+ and received (.+)$")
HOSTNAME = b"echo; echo @nms-hostname; cat /proc/sys/kernel/hostname 2>/dev/null || hostname; echo @nms-end\n"


class HungMounts:
    """File systems of a host whose df did not end, with the df that waits for each."""

    def __init__(self) -> None:
        self._is_searching = False
        self._found: dict[str, tuple[int, float]] = {}  # by mount point: process id, and until when

    def prologue(self) -> bytes:
        """Return shell commands before the script: what it leaves out, and whether it measures one by one.

        A df that could not be killed keeps its file system left out, so that no second one waits beside it.
        """
        now = time.monotonic()
        lines = ["hung=' '", f"one_by_one={'yes' if self._is_searching else ''}"]
        for point, (pid, until) in self._found.items():
            condition = "true" if now < until else f"[ -e /proc/{pid} ]"
            lines.append(f'{condition} && hung="$hung"{shlex.quote(point)}" "')
        return ("\n".join(lines) + "\n").encode()

    def note(self, output: bytes) -> int:
        """Take note of a script's output; return the id of a df to kill, or 0."""
        probe = disk_probe_of(output)
        if probe.is_complete:
            self._is_searching = False
            for point in probe.points:  # which has answered
                self._found.pop(point, None)
            return 0
        # One df for all file systems does not show which one hangs: the next poll measures one by one.
        if probe.measured <= len(probe.points) and (self._is_searching or len(probe.points) == 1):
            self._found[probe.points[probe.measured - 1]] = (probe.pid, time.monotonic() + HUNG_SECONDS)
        else:
            self._is_searching = True
        return probe.pid


class SshHost:
    """A host with its connection, which is made anew when it was lost."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys
        self._connection: Connection | None = None
        self._hung = HungMounts()

    async def collect(self, task: Task) -> tuple[bytes, dict[str, str]]:
        """Return (output of the script, what is to be remembered of the host)."""
        output, remember = await self.run(task, self._hung.prologue() + script())
        pid = self._hung.note(output)
        if pid:
            say(f"{task.target}: df does not end: a local file system does not answer")
            with suppress(OSError, asyncssh.Error, ScriptError):
                await self.run(task, b"kill -9 %d; echo @nms-end\n" % pid)
        return output, remember

    async def run(self, task: Task, source: bytes) -> tuple[bytes, dict[str, str]]:
        """(output, what is to be remembered of the host)"""
        seconds = task.timeout_seconds * DF_SHARE
        kept = self._connection
        is_usable = kept is not None and kept.is_open
        if kept is not None and is_usable and _trusts(task, kept):
            try:
                return await kept.run(source, df_seconds=seconds), _learned(task, kept)
            except (OSError, asyncssh.Error) as error:
                if not is_lost(error):
                    raise
        await self.close()
        self._connection = fresh = await connect(task, self._keys)
        return await fresh.run(source, df_seconds=seconds), _learned(task, fresh)

    def survives(self, error: BaseException) -> bool:
        """A host that answers nonsense keeps its connection; after anything else it is in an unknown
        state.
        """
        return isinstance(error, NotLinux | ScriptError)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            async with asyncio.timeout(END_SECONDS):
                await connection.close()
        except (TimeoutError, OSError, asyncssh.Error):
            connection.abort()


def _trusts(task: Task, connection: Connection) -> bool:
    """False where another key is to be trusted by now, or the one that was trusted has been forgotten."""
    remembered = task.remembered.get(REMEMBERED_KEY)
    return remembered == connection.host_key if remembered else not connection.relies_on_remembered


def _learned(task: Task, connection: Connection) -> dict[str, str]:
    """Told until it is remembered: a result may be lost on its way, or the key forgotten by a person."""
    is_news = bool(connection.learned_key) and REMEMBERED_KEY not in task.remembered
    return {REMEMBERED_KEY: connection.learned_key} if is_news else {}


class SshWorker:
    def __init__(self) -> None:
        self._keys = KeyRing()
        self._cache: SessionCache[SshHost] = SessionCache(
            lambda _: SshHost(self._keys),
            max_sessions=raise_file_limit() - SPARE_FILES,
            idle_seconds=IDLE_SECONDS,
        )
        self._counters: Recent[Counters] = Recent(REMEMBERED_HOSTS)

    async def work(self, task: Task) -> ResultFields:
        return await (self._discover(task) if task.operation is Operation.DISCOVERY else self._poll(task))

    async def _poll(self, task: Task) -> ResultFields:
        key = key_of(task)
        async with self._cache.session(task) as host:
            output, remember = await host.collect(task)
            if key not in self._counters:
                self._counters.swap(key, counters_of(sections_of(output)))
                await asyncio.sleep(FIRST_PAUSE_SECONDS)
                output, _ = await host.collect(task)
        sections = sections_of(output)
        now = counters_of(sections)
        document = document_of(sections, self._counters.swap(key, now), now)
        fields: dict[str, Any] = {
            "success": True,
            "data": document,
            "hostname": hostname_of(sections),
            "sampled_at": datetime.now(UTC).isoformat(),
        }
        return {**fields, "remember": remember} if remember else fields

    async def _discover(self, task: Task) -> ResultFields:
        """Nothing is kept, since most hosts are seen once."""
        host = SshHost(self._keys)
        try:
            output, remember = await host.run(task, HOSTNAME)
        finally:
            await host.close()
        hostname = hostname_of(marked(output))
        if not hostname:
            raise ScriptError("the host's shell does not tell the host's name")
        fields: dict[str, Any] = {"success": True, "hostname": hostname}
        return {**fields, "remember": remember} if remember else fields

    def classify(self, error: BaseException, task: Task) -> tuple[ErrorCode, str]:
        match error:
            case asyncssh.PermissionDenied():
                return ErrorCode.AUTH, "the host refused the login"
            case HostKeyRefused():
                return ErrorCode.PROTOCOL, str(error)
            case LoginTooLong():
                return (
                    ErrorCode.PROTOCOL,
                    f"the host sends more than {MAX_LOGIN_BYTES // 1024} KiB before the login",
                )
            case SessionRefused():
                code = ErrorCode.QUOTA if error.is_quota else ErrorCode.PROTOCOL
                return code, f"the host closed the connection before the login. Its message: {error}"
            case NotLinux() | ScriptError():
                return ErrorCode.SCRIPT, str(error)
            case asyncssh.ChannelOpenError():
                return ErrorCode.QUOTA, f"the host opens no session for us (MaxSessions): {error.reason}"
            case asyncssh.DisconnectError():
                return _classify_disconnect(error)
            case asyncssh.Error():
                return ErrorCode.PROTOCOL, f"the host's answer is not SSH ({type(error).__name__})"
        return classify_network(error, task.target) or classify_bug(error)

    async def close(self) -> None:
        await self._cache.close()


def _classify_disconnect(error: asyncssh.DisconnectError) -> tuple[ErrorCode, str]:
    """RFC 4253, section 11.1. OpenSSH ends too many tries with a protocol error and these words."""
    if "Too many authentication failures" in error.reason:
        return ErrorCode.AUTH, "the host refused the login: too many tries"
    if isinstance(error, asyncssh.ConnectionLost):
        return ErrorCode.PROTOCOL, CONNECTION_LOST
    if mismatch := MATCHING_FAILED.match(error.reason):
        kind, offered = mismatch.groups()
        return (
            ErrorCode.PROTOCOL,
            f"SSH failed: the host has no {kind} algorithm that we accept, only: {offered}",
        )
    return ErrorCode.PROTOCOL, f"SSH failed: {error.reason[:200]}"
