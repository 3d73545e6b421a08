"""From the rows of Windows' classes to the poll document, whichever way they came. Pure functions.

Formulas: Microsoft's counter types PERF_100NSEC_TIMER_INV (processors: 1 − Δvalue / ΔTimestamp_Sys100NS) and
PERF_COUNTER_BULK_COUNT (interfaces: Δvalue / (ΔTimestamp_PerfTime / Frequency_PerfTime)).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from plugins.kit.counters import percent, rate
from plugins.winrm.queries import DISKS, INTERFACES, PROCESSORS, SYSTEM

KIB = 1024
Row = Mapping[str, Any]
# Tunnels that every Windows has; their octets are those of the card below.
NO_INTERFACES = ("isatap", "teredo", "6to4")
TOTAL = "_Total"


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
    limit_per_second: float = 0.0  # what the card can carry, bytes


@dataclass(frozen=True, slots=True)
class Counters:
    """What the next poll needs of this one."""

    processors: Mapping[str, Sample] = field(default_factory=dict)
    interfaces: Mapping[str, Sample] = field(default_factory=dict)


def counters_of(rows: Rows) -> Counters:
    processors = {
        str(row["Name"]): Sample(
            _integer(row, "Timestamp_Sys100NS") / 1e7, (_integer(row, "PercentProcessorTime"),)
        )
        for row in rows.of(PROCESSORS.name)
        if row.get("Name")
    }
    interfaces = {
        str(row["Name"]): Sample(
            _integer(row, "Timestamp_PerfTime") / max(1, _integer(row, "Frequency_PerfTime")),
            (_integer(row, "BytesReceivedPersec"), _integer(row, "BytesSentPersec")),
            _integer(row, "CurrentBandwidth") / 8,
        )
        for row in rows.of(INTERFACES.name)
        if row.get("Name") and not str(row["Name"]).lower().startswith(NO_INTERFACES)
    }
    return Counters(processors, interfaces)


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
    return next((str(row.get("CSName") or "") for row in rows.of(SYSTEM.name)), "")


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
        (tuple(map(int, name.split(","))), load) for name, load in loads.items() if TOTAL not in name
    )
    return {"total": loads[TOTAL], **{str(number): load for number, (_, load) in enumerate(cores)}}


def _memory(rows: Rows) -> dict[str, int]:
    for row in rows.of(SYSTEM.name):
        total = _integer(row, "TotalVisibleMemorySize") * KIB
        free = min(total, _integer(row, "FreePhysicalMemory") * KIB)
        if total:
            return {"total": total, "free": free, "used": total - free}
    return {}


def _disk(rows: Rows) -> dict[str, Any]:
    drives = {
        str(row["DeviceID"]): {"total": _integer(row, "Size"), "free": _integer(row, "FreeSpace")}
        for row in rows.of(DISKS.name)
        if row.get("DeviceID") and _integer(row, "Size")  # a drive that is locked or empty has no size
    }
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
        section = {"hostname": str(row.get("CSName") or ""), "os": str(row.get("Caption") or "").strip()}
        uptime = _uptime(row)
        return {
            **section,
            **({"uptime_seconds": uptime} if uptime is not None else {}),
            "processes": _integer(row, "NumberOfProcesses"),
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

    Interfaces have 32-bit counters on some versions.
    """
    if before is None or now.seconds <= before.seconds:
        return None
    elapsed = now.seconds - before.seconds
    found = [
        rate(old, new, elapsed, limit=now.limit_per_second)
        for old, new in zip(before.values, now.values, strict=True)
    ]
    known = tuple(value for value in found if value is not None)
    return known if len(known) == len(found) else None


def _integer(row: Row, name: str) -> int:
    """CIM sends text, PowerShell numbers; what a host does not know is null."""
    try:
        return int(row.get(name) or 0)
    except (TypeError, ValueError):
        return 0
