"""From the script's output to the poll document. Pure functions.

Formats: proc(5); os-release(5); df by POSIX (-P).
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plugins.kit.counters import Reading, percent, rates

MARK = re.compile(r"^@nms-(\w+)$", re.MULTILINE)
KIB = 1024
# The columns of a cpu line in /proc/stat; guest time is in user time already.
COLUMNS = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
RESTING = ("idle", "iowait")

Sections = Mapping[str, str]


class NotLinux(ValueError):
    """The host has no /proc as Linux has it."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Processor time and octets of one poll; `seconds` of both is the host's uptime."""

    processors: Reading
    octets: Reading


def marked(output: bytes) -> Sections:
    """What a script printed by mark. What a login prints before the first mark is dropped."""
    parts = MARK.split(output.decode("utf-8", errors="replace").replace("\r\n", "\n"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def sections_of(output: bytes) -> Sections:
    """The collecting script's output. Raises NotLinux."""
    sections = marked(output)
    if "end" not in sections:
        raise NotLinux("the script's output is not complete")
    if not sections.get("stat", "").strip() or not sections.get("meminfo", "").strip():
        raise NotLinux("the host has no /proc/stat: only Linux can be watched by this plugin")
    return sections


def counters_of(sections: Sections) -> Counters:
    """Raises NotLinux."""
    try:
        return _counters(sections)
    except (ValueError, KeyError, OverflowError):
        raise NotLinux("the host's /proc is not as Linux has it") from None


def _counters(sections: Sections) -> Counters:
    uptime = float(sections["uptime"].split()[0] if sections["uptime"].strip() else "no uptime")
    if not math.isfinite(uptime):
        raise ValueError("uptime")
    processors: dict[str, int] = {}
    for line in sections["stat"].splitlines():
        name, *fields = line.split()[: len(COLUMNS) + 1] or [""]
        if name.startswith("cpu"):
            processors |= {
                f"{name} {column}": int(value) for column, value in zip(COLUMNS, fields, strict=False)
            }
    octets: dict[str, int] = {}
    for line in sections["net"].splitlines():
        name, colon, rest = line.partition(":")
        fields = rest.split()
        if colon and len(fields) >= 9 and name.strip() != "lo":
            octets |= {f"{name.strip()} rx": int(fields[0]), f"{name.strip()} tx": int(fields[8])}
    return Counters(Reading(uptime, processors), Reading(uptime, octets))


def document_of(sections: Sections, before: Counters | None, now: Counters) -> dict[str, Any]:
    """Rates need two readings of one boot; an earlier uptime is another boot. Raises NotLinux."""
    if before is not None and now.octets.seconds <= before.octets.seconds:
        before = None
    found = {
        "cpu": _cpu(before, now),
        "memory": _memory(sections["meminfo"]),
        "disk": _disk(sections.get("df", "")),
        "network": _network(sections.get("physical", ""), before, now),
        "system": _system(sections, now),
    }
    return {name: section for name, section in found.items() if section}


def hostname_of(sections: Sections) -> str:
    return sections.get("hostname", "").strip()


def _cpu(before: Counters | None, now: Counters) -> dict[str, float]:
    ticks = rates(before.processors if before else None, now.processors)
    loads = {}
    for name in dict.fromkeys(key.split()[0] for key in ticks):
        spent = {column: ticks.get(f"{name} {column}", 0.0) for column in COLUMNS}
        whole = sum(spent.values())
        key = "total" if name == "cpu" else name.removeprefix("cpu")
        loads[key] = percent(whole - sum(spent[column] for column in RESTING), whole)
    return loads


def _memory(meminfo: str) -> dict[str, int]:
    """Free is what programs can have: MemAvailable, or before Linux 3.14 free, buffers and cache."""
    pairs = (line.partition(":") for line in meminfo.splitlines())
    values = {
        name: int(rest.split()[0]) * KIB
        for name, _, rest in pairs
        if rest.split()[:1] and rest.split()[0].isdecimal()
    }
    total = values.get("MemTotal", 0)
    if not total:
        return {}
    free = values.get("MemAvailable")
    if free is None:
        free = sum(values.get(name, 0) for name in ("MemFree", "Buffers", "Cached"))
    free = min(free, total)
    return {"total": total, "free": free, "used": total - free}


def _disk(df: str) -> dict[str, Any]:
    """By mount point; a file system that is mounted twice counts once, where it was mounted first."""
    drives: dict[str, dict[str, int]] = {}
    seen: set[str] = set()
    for line in df.splitlines():
        fields = line.split(None, 5)
        if len(fields) < 6 or not (fields[1].isdecimal() and fields[3].lstrip("-").isdecimal()):
            continue
        if fields[0] in seen or fields[1] == "0":
            continue
        seen.add(fields[0])
        drives[fields[5]] = {"total": int(fields[1]) * KIB, "free": max(0, int(fields[3])) * KIB}
    if not drives:
        return {}
    size, free = (sum(drive[key] for drive in drives.values()) for key in ("total", "free"))
    return {"total": {"size": size, "free": free}, "drives": drives}


def _network(physical: str, before: Counters | None, now: Counters) -> dict[str, Any]:
    """The total is that of real cards: bridges, bonds and containers carry the same octets again."""
    found = rates(before.octets if before else None, now.octets)
    interfaces = {}
    for name in dict.fromkeys(key.rsplit(" ", 1)[0] for key in found):
        if f"{name} rx" in found and f"{name} tx" in found:
            interfaces[name] = {way: round(found[f"{name} {way}"]) for way in ("rx", "tx")}
    if not interfaces:
        return {}
    cards = [path.split("/")[-2] for path in physical.split() if path.count("/") > 2]
    counted: Sequence[str] = [name for name in cards if name in interfaces] or list(interfaces)
    total = {way: sum(interfaces[name][way] for name in counted) for way in ("rx", "tx")}
    return {"total": total, "interfaces": interfaces}


def _system(sections: Sections, now: Counters) -> dict[str, Any]:
    section: dict[str, Any] = {
        "hostname": hostname_of(sections),
        "os": _os(sections.get("os", "")),
        "uptime_seconds": int(now.octets.seconds),
    }
    processes = sections.get("processes", "").strip()
    if processes.isdecimal():
        section["processes"] = int(processes)
    return section


def _os(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("PRETTY_NAME="):
            return line.removeprefix("PRETTY_NAME=").strip("\"'")
    return lines[-1] if lines else ""
