"""One simulated host: its shells and what runs in them, its enumerations, and what goes wrong on it."""

import base64
import re
import uuid
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from plugins.winrm.simulator.machine import Machine

MAX_SHELLS_PER_USER = 30  # Windows Server 2012 and newer
MAX_OPERATIONS_PER_SHELL = 1_500
SLOW_SECONDS = 10.0
QUERY = re.compile(r"\('(\w+)','(SELECT [^']+)','[^']+','[^']*'\)")
NOISE = (
    b'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
    b'<Obj S="progress" RefId="0"><MS><PR N="Record"><AV>Preparing modules.</AV></PR></MS></Obj>'
    b"</Objs>"
)


class Fault(StrEnum):
    """What goes wrong on a host, until it is set to something else."""

    NONE = "none"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 (the name of a fault)
    ACCESS_DENIED = "access_denied"  # the login is right, the account may do nothing
    NO_SHELLS = "no_shells"  # the account may enumerate, but open no shell
    NO_CLASSES = "no_classes"  # the performance classes are missing: counters were disabled or broken
    SLOW = "slow"  # the script takes SLOW_SECONDS longer
    HANG = "hang"  # no request is ever answered
    DRIP = "drip"  # answers a byte at a time, without end
    RESET = "reset"  # every request is answered by a reset connection
    UNAVAILABLE = "unavailable"  # HTTP 503
    NOT_WINRM = "not_winrm"  # a web page instead of SOAP
    SOAP_FAULT = "soap_fault"
    QUOTA = "quota"
    TRUNCATED_XML = "truncated_xml"
    SHELLS_LOST = "shells_lost"  # shells are forgotten, as after a restart of the service
    NON_JSON = "non_json"
    EXIT_CODE = "exit_code"  # exit code 1, words on stderr
    NO_RESIDENT = "no_resident"  # a process that reads stdin ends at once
    NOISE = "noise"  # progress records on stderr, a byte order mark on stdout: no fault at all
    GONE = "gone"  # nothing listens any more


@dataclass(slots=True)
class Counters:
    requests: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    connections: int = 0
    logins: int = 0
    refused_logins: int = 0
    shells_opened: int = 0
    shells_closed: int = 0
    commands: int = 0
    processes: int = 0  # of PowerShell, started
    questions: int = 0  # lines that resident processes were sent
    enumerations: int = 0

    def add(self, other: "Counters") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Command:
    """A process; `outputs` are pieces with the event-loop time they come at. `exit_code` is None while it
    runs on.
    """

    id: str
    outputs: list[tuple[float, bytes]] = field(default_factory=list)
    stderr: bytes = b""
    exit_code: int | None = 0
    queries: dict[str, str] = field(default_factory=dict)  # of a resident one
    unread: bytes = b""

    @property
    def ready_at(self) -> float:
        """When there is something to say; never for a process that waits for its next line."""
        return self.outputs[0][0] if self.outputs else (0.0 if self.exit_code is not None else float("inf"))

    def take(self, now: float) -> tuple[bytes, bool]:
        """(what it has said by now, whether it has ended)"""
        said = b"".join(output for moment, output in self.outputs if moment <= now)
        self.outputs = [(moment, output) for moment, output in self.outputs if moment > now]
        return said, not self.outputs and self.exit_code is not None


@dataclass(slots=True)
class Host:
    address: str
    latency_seconds: float
    is_localised: bool = False
    fault: Fault = Fault.NONE
    counters: Counters = field(default_factory=Counters)
    shells: dict[str, dict[str, Command]] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)  # by shell
    pages: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # rows not pulled yet, by context
    machine: Machine = field(init=False)

    def __post_init__(self) -> None:
        self.machine = Machine(zlib.crc32(self.address.encode()), is_localised=self.is_localised)

    # --- shells -----------------------------------------------------------------------------------

    def open_shell(self) -> str | None:
        """None when the account has used up its shells."""
        if len(self.shells) >= MAX_SHELLS_PER_USER:
            return None
        shell_id = str(uuid.uuid4()).upper()
        self.shells[shell_id] = {}
        self.operations[shell_id] = 0
        self.counters.shells_opened += 1
        return shell_id

    def close_shell(self, shell_id: str) -> bool:
        if self.shells.pop(shell_id, None) is None:
            return False
        self.counters.shells_closed += 1
        return True

    def is_used_up(self, shell_id: str) -> bool:
        return self.operations[shell_id] >= MAX_OPERATIONS_PER_SHELL

    def start_command(self, shell_id: str, line: str, now: float) -> Command:
        """`line` is the whole command line; what the host would print is known at once and handed out when it
        is ready.
        """
        self.counters.commands += 1
        self.operations[shell_id] += 1
        command = Command(str(uuid.uuid4()).upper())
        self._fill(command, line, now + self._delay())
        self.shells[shell_id][command.id] = command
        return command

    def feed(self, command: Command, stdin: bytes, now: float) -> bool:
        """Lines for a resident process; False when it has ended."""
        if command.exit_code is not None:
            return False
        *lines, command.unread = (command.unread + stdin).split(b"\n")
        for line in lines:
            self.counters.questions += 1
            answer = line.strip() + b" " + self._collected(command.queries)
            command.outputs.append((now + self._delay(), answer))
        return True

    def _delay(self) -> float:
        return self.latency_seconds + (SLOW_SECONDS if self.fault is Fault.SLOW else 0)

    def _fill(self, command: Command, line: str, ready_at: float) -> None:
        name = line.split()[0].lower() if line.split() else ""
        if self.fault is Fault.EXIT_CODE:
            command.stderr, command.exit_code = b"Get-CimInstance : Access denied", 1
        elif name == "hostname":
            command.outputs = [(ready_at, f"{self.machine.hostname}\r\n".encode())]
        elif name == "powershell":
            self.counters.processes += 1
            self._fill_powershell(command, _decoded(line), ready_at)
        else:
            words = f"'{name}' is not recognized as an internal or external command.\r\n"
            command.stderr, command.exit_code = words.encode(), 1

    def _fill_powershell(self, command: Command, source: str, ready_at: float) -> None:
        command.queries = dict(QUERY.findall(source))
        if self.fault is Fault.NOISE:
            command.stderr = NOISE
        if "ReadLine" in source:
            command.exit_code = None
            if self.fault is Fault.NO_RESIDENT:
                command.stderr, command.exit_code = b"The handle is invalid.", 1
            return
        command.outputs = [(ready_at, self._collected(command.queries))]
        if "Start-Sleep" in source:
            command.outputs.append((ready_at + 1, self._collected(command.queries, later_seconds=1)))

    def _collected(self, queries: dict[str, str], *, later_seconds: float = 0.0) -> bytes:
        """A line of the script's output."""
        if self.fault is Fault.NON_JSON:
            return b"WARNING: the WMI repository is inconsistent\r\n"
        rows, errors = {}, []
        for name, wql in queries.items():
            found = self.select(wql, later_seconds=later_seconds)
            if found is None:
                errors.append(f"{name}: Invalid class")
            else:
                rows[name] = found
        mark = b"\xef\xbb\xbf" if self.fault is Fault.NOISE else b""
        return mark + orjson.dumps({"rows": rows, "errors": errors, "memory": 60 * 2**20}) + b"\r\n"

    # --- enumerations -----------------------------------------------------------------------------

    def select(self, wql: str, *, later_seconds: float = 0.0) -> list[dict[str, Any]] | None:
        """The rows of a query; None where there is no such class."""
        if self.fault is Fault.NO_CLASSES and "PerfRawData" in wql:
            return None
        return self.machine.select(wql, later_seconds=later_seconds)

    def enumerate(self, wql: str) -> tuple[list[dict[str, Any]], str] | None:
        """(first row, context of the others or ""); hosts since 2008 send one row at first, whatever was
        asked.
        """
        self.counters.enumerations += 1
        rows = self.select(wql)
        if rows is None:
            return None
        context = ""
        if len(rows) > 1:
            context = f"uuid:{str(uuid.uuid4()).upper()}"
            self.pages[context] = rows[1:]
        return rows[:1], context

    def enumeration_seconds(self) -> float:
        """A quarter of what a script takes: a class each, and no PowerShell to start."""
        return self._delay() / 4

    def pull(self, context: str) -> list[dict[str, Any]] | None:
        """The rest; None for a context that is not known."""
        return self.pages.pop(context, None)


def _decoded(line: str) -> str:
    """What PowerShell's -EncodedCommand holds: base64 of UTF-16LE."""
    return base64.b64decode(line.split()[-1]).decode("utf-16-le")
