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
TICKS_PER_SECOND = 100  # USER_HZ, of every processor
BACK_TICKS = 1_000  # idle time may go back by a little (proc(5)); further back it began again
MEASURED_TWICE = 2.0  # processor time that has passed against the time of the clock, beyond which it jumped
DF_LINE = re.compile(
    r"^(?P<device>\S.*?)\s+(?P<size>[0-9]{1,18})\s+-?[0-9]{1,18}\s+(?P<free>-?[0-9]{1,18})"
    r"\s+(?:[0-9]{1,9}%|-)\s+(?P<point>/.*)$"
)
PROCESS_ID = re.compile("[0-9]{1,9}")
MAX_DF_LINE = 8 * 1024  # two paths; the expression above takes long for what is longer
OCTAL = re.compile(r"\\([0-7]{3})")

Sections = Mapping[str, str]


class NotLinux(ValueError):
    """The host has no /proc as Linux has it."""


@dataclass(frozen=True, slots=True)
class Counters:
    """Processor time and octets of one poll; `seconds` of both is the host's uptime."""

    processors: Reading
    octets: Reading


@dataclass(frozen=True, slots=True)
class DiskProbe:
    """How far df came: `points` are the mount points as /proc/mounts writes them."""

    is_complete: bool
    points: Sequence[str]
    measured: int  # how many df were started
    pid: int  # of the last one


def marked(output: bytes) -> Sections:
    """Return what a script printed by mark; the text of a mark that comes again is appended.

    What a login prints before the first mark is dropped.
    """
    parts = MARK.split(output.decode("utf-8", errors="replace").replace("\r\n", "\n"))
    sections: dict[str, str] = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        sections[name] = sections.get(name, "") + text
    return sections


def disk_probe_of(output: bytes) -> DiskProbe:
    sections = marked(output)
    pids = [int(pid) for pid in sections.get("dfpid", "").split() if PROCESS_ID.fullmatch(pid)]
    is_complete = "end" in sections or not pids
    points = sections.get("mounts", "").split()
    return DiskProbe(is_complete, points, len(pids), pids[-1] if pids else 0)


def sections_of(output: bytes) -> Sections:
    """Return the collecting script's output; df, which comes last, may not have ended. Raise NotLinux."""
    sections = marked(output)
    if "end" not in sections and "dfpid" not in sections:
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
        "disk": _disk(sections.get("df", ""), sections.get("mounts", "")),
        "network": _network(sections.get("physical", ""), before, now),
        "system": _system(sections, now),
    }
    return {name: section for name, section in found.items() if section}


def hostname_of(sections: Sections) -> str:
    return sections.get("hostname", "").strip()


def _cpu(before: Counters | None, now: Counters) -> dict[str, float]:
    if before is None:
        return {}
    elapsed = now.processors.seconds - before.processors.seconds
    names = list(dict.fromkeys(key.split()[0] for key in now.processors.values))
    loads = {}
    for name in names:
        key = "total" if name == "cpu" else name.removeprefix("cpu")
        possible = elapsed * TICKS_PER_SECOND * (max(1, len(names) - 1) if name == "cpu" else 1)
        load = _load(before.processors, now.processors, name, possible)
        if load is not None:
            loads[key] = load
    return loads


def _load(before: Reading, now: Reading, name: str, possible_ticks: float) -> float | None:
    """Return the percentage of a processor that was not idle.

    None where a counter began again, or more time has passed than there can have been: idle and stolen time
    are known to jump.
    """
    spent = {}
    for column in COLUMNS:
        key = f"{name} {column}"
        if key not in before.values or key not in now.values:
            continue
        moved = now.values[key] - before.values[key]
        if moved < -BACK_TICKS:
            return None
        spent[column] = max(0, moved)
    whole = sum(spent.values())
    if not whole or whole > MEASURED_TWICE * possible_ticks + BACK_TICKS:
        return None
    return percent(whole - sum(spent.get(column, 0) for column in RESTING), whole)


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


def _disk(df: str, mounts: str) -> dict[str, Any]:
    """By mount point. A file system that is mounted twice counts once, where it was mounted first.

    The data sets of a ZFS pool share its free space, so the total counts that of a pool once.
    """
    points = {_as_df_prints(point): point for point in map(_unescaped, mounts.split())}
    drives: dict[str, dict[str, int]] = {}
    used: dict[str, int] = {}
    free: dict[str, int] = {}
    seen: set[str] = set()
    lines = (line for line in df.splitlines() if len(line) <= MAX_DF_LINE)
    for match in filter(None, map(DF_LINE.match, lines)):
        device, size = match["device"], int(match["size"]) * KIB
        if device in seen or not size:
            continue
        seen.add(device)
        left = max(0, int(match["free"])) * KIB
        drives[points.get(match["point"], match["point"])] = {"total": size, "free": left}
        pool = device if device.startswith("/dev/") else device.partition("/")[0]
        used[pool] = used.get(pool, 0) + max(0, size - left)
        free[pool] = max(left, free.get(pool, 0))
    if not drives:
        return {}
    left = sum(free.values())
    return {"total": {"size": sum(used.values()) + left, "free": left}, "drives": drives}


def _unescaped(point: str) -> str:
    """A mount point as it is; /proc/mounts writes blanks, line breaks and backslashes in octal."""
    return OCTAL.sub(lambda octal: chr(int(octal[1], 8)), point)


def _as_df_prints(point: str) -> str:
    """GNU df shows a question mark for each control character."""
    return "".join("?" if ord(one) < 32 or ord(one) == 127 else one for one in point)


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
