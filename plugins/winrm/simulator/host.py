"""One simulated host: its shells, its fault, and values that move like a real host's."""

import json
import math
import time
import uuid
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

GIB = 2**30
MAX_SHELLS_PER_USER = 30  # Windows Server 2012 and newer


class Fault(StrEnum):
    """What goes wrong on a host, until it is set to something else."""

    NONE = "none"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 (the name of a fault)
    SLOW = "slow"  # the script takes SLOW_SECONDS longer
    HANG = "hang"  # no request is ever answered
    RESET = "reset"  # every request is answered by a reset connection
    SOAP_FAULT = "soap_fault"
    QUOTA = "quota"
    TRUNCATED_XML = "truncated_xml"
    NON_JSON = "non_json"
    EXIT_CODE = "exit_code"  # exit code 1, words on stderr
    GONE = "gone"  # nothing listens any more


SLOW_SECONDS = 5.0


@dataclass(slots=True)
class Counters:
    requests: int = 0
    connections: int = 0
    logins: int = 0
    refused_logins: int = 0
    shells_opened: int = 0
    shells_closed: int = 0
    commands: int = 0

    def add(self, other: "Counters") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def as_dict(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Command:
    id: str
    stdout: bytes
    stderr: bytes
    exit_code: int
    ready_at: float  # event-loop time


@dataclass(slots=True)
class Host:
    address: str
    latency_seconds: float
    fault: Fault = Fault.NONE
    counters: Counters = field(default_factory=Counters)
    shells: dict[str, dict[str, Command]] = field(default_factory=dict)
    started: float = field(default_factory=time.time)

    @property
    def seed(self) -> int:
        return zlib.crc32(self.address.encode())

    @property
    def hostname(self) -> str:
        return f"WIN-{self.seed:08X}"

    def open_shell(self) -> str | None:
        """None when the account has used up its shells."""
        if len(self.shells) >= MAX_SHELLS_PER_USER:
            return None
        shell_id = str(uuid.uuid4()).upper()
        self.shells[shell_id] = {}
        self.counters.shells_opened += 1
        return shell_id

    def close_shell(self, shell_id: str) -> bool:
        if self.shells.pop(shell_id, None) is None:
            return False
        self.counters.shells_closed += 1
        return True

    def start_command(self, shell_id: str, line: str, now: float) -> Command:
        """`line` is the whole command line; what the host would print is known at once and handed out when it
        is ready.
        """
        self.counters.commands += 1
        stdout, stderr, code = self._output(line)
        delay = self.latency_seconds + (SLOW_SECONDS if self.fault is Fault.SLOW else 0)
        command = Command(str(uuid.uuid4()).upper(), stdout, stderr, code, now + delay)
        self.shells[shell_id][command.id] = command
        return command

    def _output(self, line: str) -> tuple[bytes, bytes, int]:
        if self.fault is Fault.EXIT_CODE:
            return b"", b"Get-CimInstance : Access denied", 1
        if self.fault is Fault.NON_JSON:
            return b"WARNING: the WMI repository is inconsistent\r\n", b"", 0
        if line.strip().lower() == "hostname":
            return f"{self.hostname}\r\n".encode(), b"", 0
        if line.lower().startswith("powershell") and "encodedcommand" in line.lower():
            answer = {"data": self.document(time.time()), "errors": []}
            return json.dumps(answer, separators=(",", ":")).encode() + b"\r\n", b"", 0
        name = line.split()[0] if line.split() else ""
        words = f"'{name}' is not recognized as an internal or external command.\r\n"
        return b"", words.encode(), 1

    def document(self, now: float) -> dict[str, Any]:
        """CPU in waves with noise, memory that breathes, disks that fill, traffic that follows the CPU."""
        cores = [self._wave(now, period=300 + 40 * core, salt=core) for core in range(4)]
        cpu = {str(core): round(100 * load, 1) for core, load in enumerate(cores)}
        cpu["total"] = round(sum(cpu.values()) / len(cores), 1)
        total = (8 << self.seed % 4) * GIB
        used = int(total * (0.35 + 0.4 * self._wave(now, period=3_600, salt=9)))
        size = 128 * GIB
        grown = int(size * (0.3 + 0.6 * ((now / 86_400 + self.seed) % 30) / 30))
        rx = int(4e6 * cores[0] + 2e5)
        tx = int(1e6 * cores[1] + 1e5)
        nics = {"Ethernet": {"rx": rx, "tx": tx}}
        return {
            "cpu": cpu,
            "memory": {"total": total, "free": total - used, "used": used},
            "disk": {
                "total": {"size": size, "free": size - grown},
                "drives": {"C:": {"total": size, "free": size - grown}},
            },
            "network": {"total": {"rx": rx, "tx": tx}, "interfaces": nics},
            "system": {
                "hostname": self.hostname,
                "os": "Microsoft Windows Server 2022 Standard",
                "uptime_seconds": int(now - self.started) + self.seed % 5_000_000,
                "processes": 90 + int(40 * cores[2]),
            },
        }

    def _wave(self, now: float, *, period: float, salt: int) -> float:
        """0 to 1: a slow wave with a phase of the host's own, and noise that is the same for the same
        second.
        """
        phase = (self.seed >> salt) % 1_000 / 1_000
        noise = zlib.crc32(f"{self.seed}{salt}{int(now)}".encode()) % 1_000 / 1_000
        wave = 0.5 + 0.5 * math.sin(2 * math.pi * (now / period + phase))
        return 0.03 + 0.9 * (0.75 * wave + 0.25 * noise)
