"""One task of the SNMP plugin: the agent's session with what is known of it, a poll, or its name."""

import random
import time
from datetime import UTC, datetime
from typing import Any

from gufo.snmp import SnmpAuthError, SnmpError

from plugins.contract import ErrorCode, Operation, Task
from plugins.kit.aio import SessionCache
from plugins.kit.network import classify_bug, classify_network
from plugins.kit.tasks import ResultFields, raise_file_limit, say
from plugins.snmp import mib
from plugins.snmp.client import AgentError, Client, PrivacyRefused
from plugins.snmp.document import Counters, counters_of, document_of, has_restarted
from plugins.snmp.layout import Layout, layout_read, text

LAYOUT_SECONDS = 600.0
PARTIAL_LAYOUT_SECONDS = 60.0  # until a table that could not be read is tried again
LAYOUT_SHARE = 0.6  # of a task's time, for walking tables
# A session costs a socket and its counters; it must outlast the longest interval, or there would be no rates.
IDLE_SECONDS = 90_000.0
SPARE_FILES = 512


class SnmpHost:
    """An agent, its layout, and the counters of the last poll."""

    def __init__(self, task: Task) -> None:
        self.client = Client(task)
        self._target, self._timeout_seconds = task.target, task.timeout_seconds
        self._layout: Layout | None = None
        self._layout_until = 0.0
        self._counters: Counters | None = None

    async def poll(self) -> dict[str, Any]:
        layout, is_new = await self._current_layout()
        values = await self.client.get_many(layout.objects())
        if mib.SYS_UPTIME not in values:
            raise AgentError("the agent does not tell its uptime (sysUpTime)")
        now = counters_of(layout, values, clock=time.monotonic())
        before, self._counters = self._counters, now
        if is_new:
            self._layout = layout.restricted_to(values)
        elif (before is not None and has_restarted(before, now)) or len(values) < len(layout.objects()):
            self._layout = None  # interfaces came or went, and numbers may mean others: look again next time
        return document_of(layout, values, before, now)

    async def hostname(self) -> str:
        """Return sysName, or the address where it is empty or missing, as agents are shipped."""
        return text((await self.client.get_many([mib.SYS_NAME])).get(mib.SYS_NAME)) or self._target

    def forget(self) -> None:
        """Begin a new session; counters stay."""
        self.client.renew()

    def survives(self, error: BaseException) -> bool:
        """UDP has no connection to lose; only a login that was refused begins anew."""
        return not isinstance(error, SnmpAuthError | PrivacyRefused)

    async def close(self) -> None:
        self.client.close()

    async def _current_layout(self) -> tuple[Layout, bool]:
        """And whether it was read just now. One that is due to be read again is good enough if that fails."""
        if self._layout is not None and time.monotonic() < self._layout_until:
            return self._layout, False
        # Agents that were met together need not be walked together for ever.
        jitter = random.uniform(0.7, 1.3)  # noqa: S311 (no secret)
        self._layout_until = time.monotonic() + LAYOUT_SECONDS * jitter
        try:
            layout = await layout_read(self.client, seconds=self._timeout_seconds * LAYOUT_SHARE)
        except (TimeoutError, AgentError):
            if self._layout is None:
                raise
            return self._layout, False
        if layout.problems:
            self._layout_until = time.monotonic() + PARTIAL_LAYOUT_SECONDS * jitter
            if self._layout is not None:
                return self._layout, False
        for problem in layout.problems:
            say(f"{self._target}: {problem}")
        self._layout = layout
        return layout, True


class SnmpWorker:
    def __init__(self) -> None:
        self._cache: SessionCache[SnmpHost] = SessionCache(
            SnmpHost, max_sessions=raise_file_limit() - SPARE_FILES, idle_seconds=IDLE_SECONDS
        )

    async def work(self, task: Task) -> ResultFields:
        if task.operation is Operation.DISCOVERY:
            met = SnmpHost(task)
            try:
                return {"success": True, "hostname": await met.hostname()}
            finally:
                await met.close()
        async with self._cache.session(task) as host:
            try:
                document = await host.poll()
            except SnmpAuthError:
                # An agent that restarted counts its boots anew and refuses the old ones (RFC 3414, section
                # 3.2).
                host.forget()
                document = await host.poll()
        hostname = document.get("system", {}).get("hostname", "")
        sampled_at = datetime.now(UTC).isoformat()
        return {"success": True, "data": document, "hostname": hostname, "sampled_at": sampled_at}

    def classify(self, error: BaseException, task: Task) -> tuple[ErrorCode, str]:
        match error:
            case TimeoutError():
                return (
                    ErrorCode.TIMEOUT,
                    "no answer by SNMP: the agent is off, filtered, or the community is wrong",
                )
            case SnmpAuthError():
                return ErrorCode.AUTH, "the agent refused the login: user, password or algorithm is wrong"
            case PrivacyRefused():
                return (
                    ErrorCode.AUTH,
                    "the agent accepts the user, but cannot read what is encrypted: priv_password or "
                    "priv_protocol is wrong",
                )
            case AgentError():
                return ErrorCode.PROTOCOL, str(error)
            case SnmpError():
                return ErrorCode.PROTOCOL, f"the agent's answer is not SNMP ({type(error).__name__})"
        return classify_network(error, task.target) or classify_bug(error)

    async def close(self) -> None:
        await self._cache.close()
