"""From the rows of Windows' classes to the poll document, whichever way they came. Pure functions.

Formulas: Microsoft's counter types PERF_100NSEC_TIMER_INV (processors: 1 − Δvalue / Δtime) and
PERF_COUNTER_BULK_COUNT (interfaces: Δvalue / Δtime). Time is Timestamp_PerfTime / Frequency_PerfTime, which
goes on evenly when the host's clock is set; Timestamp_Sys100NS does not.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from plugins.kit.counters import percent, rate
from plugins.winrm.queries import COMPUTER, DISKS, INTERFACES, PROCESSORS, SYSTEM, VOLUMES

KIB = 1024
Row = Mapping[str, Any]
# Tunnels that every Windows has; their octets are those of the card below.
NO_INTERFACES = ("isatap", "teredo", "6to4")
TOTAL = "_Total"
CORE = re.compile(r"(\d+,)?\d+")  # `group,number`, or a number of the older class


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows by the name of their query, and what the host said of those it could not answer."""

    by_query: Mapping[str, Sequence[Row]]
    errors: tuple[str, ...] = ()
    working_set_bytes: int = 0  # of the resident process, where there is one

    def of(self, name: str) -> Sequence[Row]:
        return self.by_query.get(name, ())


@dataclass(frozen=True, slots=True)
class Sample:
    """One counter of one instance, with the time on the host's own clock, in seconds."""

    seconds: float
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Counters:
    """What the next poll needs of this one."""

    processors: Mapping[str, Sample] = field(default_factory=dict)
    interfaces: Mapping[str, Sample] = field(default_factory=dict)


def counters_of(rows: Rows) -> Counters:
    """Instances whose counter or time the host does not know are left out."""
    processors = _samples(rows.of(PROCESSORS.name), "PercentProcessorTime")
    interfaces = _samples(rows.of(INTERFACES.name), "BytesReceivedPersec", "BytesSentPersec")
    return Counters(
        processors,
        {name: one for name, one in interfaces.items() if not name.lower().startswith(NO_INTERFACES)},
    )


def _samples(rows: Sequence[Row], *properties: str) -> dict[str, Sample]:
    found = {}
    for row in rows:
        seconds = _seconds(row)
        values = [value for name in properties if (value := _integer(row, name)) is not None]
        if row.get("Name") and seconds is not None and len(values) == len(properties):
            found[str(row["Name"])] = Sample(seconds, tuple(values))
    return found


def _seconds(row: Row) -> float | None:
    """Return the time of a row of a raw class, on a clock of the host that only its differences matter of."""
    ticks, frequency = _integer(row, "Timestamp_PerfTime"), _integer(row, "Frequency_PerfTime")
    if ticks is not None and frequency:
        return ticks / frequency
    wall = _integer(row, "Timestamp_Sys100NS")
    return None if wall is None else wall / 1e7


def document_of(rows: Rows, before: Counters | None, now: Counters) -> dict[str, Any]:
    """Sections that could not be read are left out; rates need two readings."""
    before = before or Counters()
    found = {
        "cpu": _cpu(before, now),
        "memory": _memory(rows),
        "disk": _disk(rows),
        "network": _network(before, now),
        "system": _system(rows),
    }
    return {name: section for name, section in found.items() if section}


def hostname_of(rows: Rows) -> str:
    """Return the whole name, or the first 15 letters of it where the host does not know the whole."""
    for name, properties in ((COMPUTER.name, ("DNSHostName", "Name")), (SYSTEM.name, ("CSName",))):
        for row in rows.of(name):
            for one in properties:
                if row.get(one):
                    return str(row[one])
    return ""


def _cpu(before: Counters, now: Counters) -> dict[str, float]:
    """Instances are `group,number`, a total for each group, and one of all; cores are numbered through."""
    loads = {}
    for name, sample in now.processors.items():
        idle = _rates(before.processors.get(name), sample)
        if idle is not None:
            loads[name] = percent(1e7 - idle[0], 1e7)
    if TOTAL not in loads:
        return {}
    cores = sorted(
        (tuple(map(int, name.split(","))), load) for name, load in loads.items() if CORE.fullmatch(name)
    )
    return {"total": loads[TOTAL], **{str(number): load for number, (_, load) in enumerate(cores)}}


def _memory(rows: Rows) -> dict[str, int]:
    for row in rows.of(SYSTEM.name):
        total, free = _integer(row, "TotalVisibleMemorySize"), _integer(row, "FreePhysicalMemory")
        if total and free is not None:
            total, free = total * KIB, min(total, free) * KIB
            return {"total": total, "free": free, "used": total - free}
    return {}


def _disk(rows: Rows) -> dict[str, Any]:
    """Drives by letter, and volumes by the folder that they are mounted in.

    A drive that is locked or empty has no size. One whose free space the host does not know is left out.
    """
    found = [(row.get("DeviceID"), row.get("Size"), row) for row in rows.of(DISKS.name)]
    found += [
        (row.get("Name"), row.get("Capacity"), row)
        for row in rows.of(VOLUMES.name)
        if not row.get("DriveLetter") and not str(row.get("Name") or "").startswith("\\\\?\\")
    ]
    drives = {}
    for name, capacity, row in found:
        size, free = _whole(capacity), _integer(row, "FreeSpace")
        if name and size and free is not None:
            drives[str(name)] = {"total": size, "free": free}
    if not drives:
        return {}
    size, free = (sum(drive[key] for drive in drives.values()) for key in ("total", "free"))
    return {"total": {"size": size, "free": free}, "drives": drives}


def _network(before: Counters, now: Counters) -> dict[str, Any]:
    interfaces = {}
    for name, sample in now.interfaces.items():
        found = _rates(before.interfaces.get(name), sample)
        if found is not None:
            interfaces[name] = {"rx": round(found[0]), "tx": round(found[1])}
    if not interfaces:
        return {}
    total = {way: sum(rate[way] for rate in interfaces.values()) for way in ("rx", "tx")}
    return {"total": total, "interfaces": interfaces}


def _system(rows: Rows) -> dict[str, Any]:
    for row in rows.of(SYSTEM.name):
        known = {"uptime_seconds": _uptime(row), "processes": _integer(row, "NumberOfProcesses")}
        return {
            "hostname": hostname_of(rows),
            "os": str(row.get("Caption") or "").strip(),
            **{name: value for name, value in known.items() if value is not None},
        }
    return {}


def _uptime(row: Row) -> int | None:
    """Both moments are the host's, so its clock need not be right."""
    try:
        booted, now = (_moment(str(row[name])) for name in ("LastBootUpTime", "LocalDateTime"))
        return max(0, int((now - booted).total_seconds()))
    except (KeyError, ValueError, TypeError):
        return None


def _moment(text: str) -> datetime:
    """ISO 8601 with any number of digits behind the second: hosts send none to seven."""
    head, dot, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    fraction = f".{rest[:digits][:6]:0<6}" if dot and digits else ""
    zone = rest[digits:] if dot else ""
    return datetime.fromisoformat(f"{head}{fraction}{zone}")


def _rates(before: Sample | None, now: Sample) -> tuple[float, ...] | None:
    """Return units a second; None where there is nothing before, no time has passed, or a counter was reset.

    All have 64 bits since Windows Server 2012: one that fell has not wrapped.
    """
    if before is None or now.seconds <= before.seconds:
        return None
    elapsed = now.seconds - before.seconds
    found = [rate(old, new, elapsed) for old, new in zip(before.values, now.values, strict=True)]
    known = tuple(value for value in found if value is not None)
    return known if len(known) == len(found) else None


def _integer(row: Row, name: str) -> int | None:
    return _whole(row.get(name))


def _whole(value: Any) -> int | None:
    """CIM sends text, PowerShell numbers; what a host does not know is null, which is not 0."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
