"""One task from start to result: poll or discovery of one host, within its deadline, by the way that fits the
host.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar

import gevent
from winrm.exceptions import WSManFaultError

from plugins.contract import ErrorCode, Operation, Task
from plugins.kit.keep import Key, Recent, key_of
from plugins.kit.stall import StallMeter
from plugins.kit.tasks import InvalidTask, ResultFields, answer, choice_of, failure, refused_task, say
from plugins.winrm import powershell
from plugins.winrm.busy_guard import KeptBusy, working_for_a_host
from plugins.winrm.cache import SessionCache
from plugins.winrm.document import Counters, Rows, counters_of, document_of, hostname_of
from plugins.winrm.errors import (
    ACCESS_DENIED,
    Deadline,
    QuotaPause,
    ScriptError,
    classify,
    fault_codes,
    is_accepted_login,
    is_quota,
    is_refused_login,
)
from plugins.winrm.queries import COMPUTER, QUERIES, RATES, Query
from plugins.winrm.session import MAX_RESIDENT_BYTES, HostSession

REMEMBERED_HOSTS = 50_000
# A host met for the first time is read twice, so that its first document has rates, too.
FIRST_PAUSE_SECONDS = 1.0
WAY_SECONDS = 3_600.0  # a host that could not do what we like best is tried again after this
MAX_ERRORS = 8  # of one answer that are looked at
QUOTA_PAUSES = (60.0, 120.0, 300.0, 600.0)  # after the first, second, … quota fault in a row

Value = TypeVar("Value")


class Way(StrEnum):
    """How a poll collects; the values are those of the credential's `collect`."""

    AUTO = "auto"  # the first of the others that the host can do
    RESIDENT = "powershell"  # one PowerShell that stays on the host
    PROCESS = "powershell_process"  # one for each poll
    CIM = "cim"  # none: WS-Man Enumerate


class Memory:
    """What is known of hosts beyond their sessions."""

    def __init__(self) -> None:
        self.counters: Recent[Counters] = Recent(REMEMBERED_HOSTS)
        self.ways: Recent[tuple[Way, float]] = Recent(REMEMBERED_HOSTS)
        self.quotas: Recent[tuple[int, float]] = Recent(REMEMBERED_HOSTS)
        self.slow: Recent[bool] = Recent(REMEMBERED_HOSTS)  # hosts that two readings are too much for

        self.told: Recent[bool] = Recent(REMEMBERED_HOSTS)  # by host and class

    def tell(self, target: str, errors: Sequence[str]) -> None:
        """A class that could not be read leaves a hole in the document; the log says why, once."""
        for error in errors[:MAX_ERRORS]:
            if not self.told.swap((target, error.partition(":")[0][:32]), True):
                say(f"{target}: {' '.join(error.split())[:300]}")

    def needs_two_readings(self, key: Key) -> bool:
        return key not in self.counters and key not in self.slow


class Collector:
    def __init__(self, cache: SessionCache) -> None:
        self.cache = cache
        self.memory = Memory()
        self.stalls = StallMeter()

    def work(self, task: Task) -> ResultFields:
        """Return the task's result, whatever the host does. Only what ends the greenlet is raised."""
        started, stalled_before = time.monotonic(), self.stalls.stalled_seconds()
        try:
            with working_for_a_host(), gevent.Timeout(task.timeout_seconds, Deadline):
                fields = self._discover(task) if task.operation is Operation.DISCOVERY else self._poll(task)
        except InvalidTask as error:
            return refused_task(task, error)
        except (gevent.GreenletExit, KeyboardInterrupt, SystemExit):
            raise
        # Not only Exception: Deadline is none, nor is a panic of a library written in Rust.
        except BaseException as error:  # noqa: BLE001 (whatever happens to one host is its result)
            fields = failure(*self._explained(error, task, stalled_before))
            if is_accepted_login(error):
                fields["login"] = "accepted"
        fields["duration_ms"] = round((time.monotonic() - started) * 1_000, 3)
        return answer(task, fields)

    def _explained(self, error: BaseException, task: Task, stalled_before: float) -> tuple[ErrorCode, str]:
        """A host that kept the plugin busy made the stall itself: for it alone that is no excuse."""
        found = classify(error, task.target)
        return found if isinstance(error, KeptBusy) else self.stalls.explain(*found, stalled_before)

    def _poll(self, task: Task) -> ResultFields:
        key = key_of(task)
        self._respect_quota(key)
        try:
            with self.cache.session(task) as session:
                readings = self._collect(session, task, key)
                sampled_at = datetime.now(UTC).isoformat()
        except Exception as error:
            if is_quota(error):
                self._pause_for_quota(key)
            raise
        self.memory.quotas.drop(key)
        for earlier in readings[:-1]:
            self.memory.counters.swap(key, counters_of(earlier))
        rows, now = readings[-1], counters_of(readings[-1])
        document = document_of(rows, self.memory.counters.swap(key, now), now)
        if not document:
            raise ScriptError(
                f"nothing could be read: {rows.errors[0] if rows.errors else 'no class has a row'}"
            )
        self.memory.tell(task.target, rows.errors)
        return {"success": True, "data": document, "hostname": hostname_of(rows), "sampled_at": sampled_at}

    def _discover(self, task: Task) -> ResultFields:
        """Without a process on the host where the account may; nothing is kept, since most hosts are seen
        once.
        """
        way = _wanted(task)
        session = HostSession(task.target, task.port, task.credentials, task.timeout_seconds)
        try:
            hostname = _hostname(session, way)
        except BaseException:
            self.cache.discard(session.abandon)
            raise
        session.close()
        if not hostname:
            raise ScriptError("the host does not tell its name")
        return {"success": True, "hostname": hostname}

    # --- ways -------------------------------------------------------------------------------------

    def _collect(self, session: HostSession, task: Task, key: Key) -> list[Rows]:
        """One reading, or two where there is none yet to compare it with."""
        is_first = self.memory.needs_two_readings(key)
        wanted = _wanted(task)
        if wanted is not Way.AUTO:
            return self._read(wanted, session, key, is_first)
        known, until = self.memory.ways.get(key) or (Way.RESIDENT, 0.0)
        first = way = known if until > time.monotonic() else Way.RESIDENT
        failures: list[Exception] = []
        while True:
            try:
                found = self._read(way, session, key, is_first)
                break
            except Exception as error:  # noqa: BLE001 (sorted by _other_way)
                failures.append(error)
                other = _other_way(way, error)
                if other is None:
                    # What the way we like best had to say, unless the host has shut the door meanwhile.
                    is_shut = is_refused_login(error) or is_quota(error)
                    try:
                        raise (error if is_shut else failures[0]) from None
                    finally:
                        failures.clear()  # or the errors and this frame keep each other, with a reply's tree
                way = other
        if way is not first:
            self.memory.ways.swap(key, (way, time.monotonic() + WAY_SECONDS))
            self.memory.tell(task.target, [f"{first}: not possible there, collects by {way} from now on"])
        return found

    def _read(self, way: Way, session: HostSession, key: Key, is_first: bool) -> list[Rows]:
        """Notes a host that had time for one reading of two; one that hangs from the start is not slow."""
        readings: list[Rows] = []
        try:
            _READ[way](session, is_first, readings.append)
        except Deadline:
            if readings or way is Way.PROCESS:  # whose two readings come together
                self.memory.slow.swap(key, True)
            raise
        return readings

    # --- quota ------------------------------------------------------------------------------------

    def _respect_quota(self, key: Key) -> None:
        times, until = self.memory.quotas.get(key) or (0, 0.0)
        remaining = until - time.monotonic()
        if remaining > 0:
            raise QuotaPause(
                f"not asked: the host's WinRM quota was used up; asked again in {remaining:.0f} s"
            )

    def _pause_for_quota(self, key: Key) -> None:
        times, _ = self.memory.quotas.get(key) or (0, 0.0)
        pause = QUOTA_PAUSES[min(times, len(QUOTA_PAUSES) - 1)]
        self.memory.quotas.swap(key, (times + 1, time.monotonic() + pause))


def _wanted(task: Task) -> Way:
    return Way(choice_of(task.credentials, "collect", tuple(Way), Way.AUTO))


# No generators: pywinrm raises StopIteration at nonsense, which would become another error inside one.
Give = Callable[[Rows], None]


def _read_resident(session: HostSession, is_first: bool, give: Give) -> None:
    for is_again in (False, True) if is_first else (False,):
        if is_again:
            gevent.sleep(FIRST_PAUSE_SECONDS)
        rows = powershell.parse(session.ask(powershell.resident()))
        if rows.working_set_bytes > MAX_RESIDENT_BYTES:
            session.recycle()
        give(rows)


def _read_process(session: HostSession, is_first: bool, give: Give) -> None:
    output = session.run(powershell.twice() if is_first else powershell.once())
    for rows in powershell.parse_lines(output.stdout, output.stderr, output.exit_code):
        give(rows)


def _read_cim(session: HostSession, is_first: bool, give: Give) -> None:
    if is_first:
        give(_select(session, RATES, must_answer=False))
        gevent.sleep(FIRST_PAUSE_SECONDS)
    give(_select(session, QUERIES))


_READ: dict[Way, Callable[[HostSession, bool, Give], None]] = {
    Way.RESIDENT: _read_resident,
    Way.PROCESS: _read_process,
    Way.CIM: _read_cim,
}


def _select(session: HostSession, queries: Iterable[Query], *, must_answer: bool = True) -> Rows:
    """Read each class. One that cannot be read costs only what it holds, and so does an optional one that the
    account may not read; an account that may not read the others fails at once.
    """
    rows, errors = {}, []
    failed: Exception | None = None
    for query in queries:
        try:
            rows[query.name] = _rows(session, query)
        except Exception as error:
            codes = fault_codes(error)
            if not codes or is_quota(error) or (codes & ACCESS_DENIED and not query.is_optional):
                raise
            failed = error
            errors.append(f"{query.name}: {classify(error)[1]}")
    if failed is not None and not rows and must_answer:
        raise failed
    return Rows(rows, tuple(errors))


def _rows(session: HostSession, query: Query) -> list[dict[str, Any]]:
    """Return the rows of the query's class, or of its fallback where the host has none."""
    if query.name in session.fallbacks:
        return session.select(query.fallback_wql)
    try:
        rows = session.select(query.wql)
    except WSManFaultError as error:
        if not query.fallback_wql or is_quota(error) or fault_codes(error) & ACCESS_DENIED:
            raise
        rows = []
    if not rows and query.fallback_wql:
        rows = session.select(query.fallback_wql)
        if rows:
            session.fallbacks.add(query.name)
    return rows


def _other_way(way: Way, error: Exception) -> Way | None:
    """What to try instead: a process for each poll where none can stay; CIM where no script runs, or no shell
    may be opened.
    """
    if way is Way.RESIDENT and isinstance(error, ScriptError):
        return Way.PROCESS
    is_without_scripts = isinstance(error, ScriptError) or bool(fault_codes(error) & ACCESS_DENIED)
    return Way.CIM if way is not Way.CIM and is_without_scripts else None


def _hostname(session: HostSession, way: Way) -> str:
    if way in (Way.AUTO, Way.CIM):
        try:
            return hostname_of(Rows({COMPUTER.name: session.select(COMPUTER.wql)}))
        except Exception as error:
            if way is Way.CIM or not fault_codes(error) or is_quota(error):
                raise
    output = session.run(("hostname", ()))
    if output.exit_code != 0:
        raise ScriptError(f"`hostname` ended with exit code {output.exit_code}")
    return output.stdout.decode("utf-8", errors="replace").strip()
