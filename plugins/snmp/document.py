"""From an agent's values to the poll document. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from gufo.snmp import ValueType

from plugins.kit.counters import Reading, percent, rates
from plugins.snmp import mib
from plugins.snmp.layout import Layout, Storage, integer

KIB = 1024
TICKS = 100.0  # TimeTicks are hundredths of a second
WRAP_SECONDS = 2**32 / TICKS
CLOCKS_DIFFER_SECONDS = 600.0  # sysUpTime and snmpEngineTime of one agent, over years
BACK_TICKS = 10_000  # a counter of processor time that went back further has wrapped
STANDSTILL_SECONDS = 30.0  # the longest that an agent's uptime may stand still between two refreshes
Values = Mapping[str, ValueType]


@dataclass(frozen=True, slots=True)
class Counters:
    """What the next poll needs of this one: octets by OID, and processor time."""

    uptime_ticks: int
    octets: Reading
    processors: Reading = field(default_factory=lambda: Reading(0, {}))


def counters_of(layout: Layout, values: Values, *, clock: float) -> Counters:
    """`clock` is ours, in seconds: the agent's own stands still between its refreshes on some devices."""
    octets = {
        oid: value
        for interface in layout.interfaces
        for oid in (interface.in_octets, interface.out_octets)
        if isinstance(value := values.get(oid), int)
    }
    ticks = {**mib.CPU_WORKING, **mib.CPU_RESTING}
    return Counters(
        uptime_ticks=integer(values.get(mib.SYS_UPTIME)),
        octets=Reading(clock, octets),
        processors=Reading(clock, {oid: integer(values[oid]) for oid in ticks.values() if oid in values}),
    )


def has_restarted(before: Counters, now: Counters) -> bool:
    """The agent's counters began again: sysUpTime fell, or went on by much less than the time between the
    polls, as that of an agent that restarts soon after a poll and is up for longer by the next. It also falls
    when it wraps, after 497 days, which counts as a restart: one poll without rates.
    """
    lived = (now.uptime_ticks - before.uptime_ticks) / TICKS
    return lived < 0 or lived < (now.octets.seconds - before.octets.seconds) / 2 - STANDSTILL_SECONDS


def document_of(layout: Layout, values: Values, before: Counters | None, now: Counters) -> dict[str, Any]:
    """Sections the agent has nothing for are left out; rates need two readings."""
    if before is not None and has_restarted(before, now):
        before = None
    sections = {
        "cpu": _cpu(layout, values, before, now),
        "memory": _memory(layout, values),
        "disk": _disk(layout, values),
        "network": _network(layout, before, now),
        "system": _system(layout, values),
    }
    return {name: section for name, section in sections.items() if section}


def _cpu(layout: Layout, values: Values, before: Counters | None, now: Counters) -> dict[str, float]:
    loads = [
        float(value)
        for oid in layout.processors
        if isinstance(value := values.get(oid), int) and 0 <= value <= 100
    ]
    if loads:
        cores = {str(number): load for number, load in enumerate(loads)}
        return {"total": round(sum(loads) / len(loads), 1), **cores}
    if before is None:
        return {}
    # Idle and wait go back a tick now and then, which is no wrap; a real one, after 497 processor days, costs
    # a poll: the shares of the others would be wrong.
    ticks = rates(before.processors, now.processors)
    if not ticks or _have_wrapped(before.processors, now.processors):
        return {}
    working = sum(ticks.get(oid, 0.0) for oid in mib.CPU_WORKING.values())
    return {"total": percent(working, sum(ticks.values()))}


def _have_wrapped(before: Reading, now: Reading) -> bool:
    return any(before.values.get(oid, 0) - value > BACK_TICKS for oid, value in now.values.items())


def _memory(layout: Layout, values: Values) -> dict[str, int]:
    total = _first(values, mib.MEM_TOTAL_WIDE, mib.MEM_TOTAL) * KIB
    if total:
        free = _free_memory(values) * KIB
    elif layout.ram is not None:
        total, free = _size_and_free(layout.ram, values)
    if not total:
        return {}
    free = min(free, total)
    return {"total": total, "free": free, "used": total - free}


def _free_memory(values: Values) -> int:
    """KiB that programs can have: what the kernel calls available, else free, buffers and cache."""
    available = _first(values, mib.MEM_AVAILABLE)
    if available:
        return available
    return (
        _first(values, mib.MEM_FREE_WIDE, mib.MEM_FREE)
        + _first(values, mib.MEM_BUFFERS_WIDE, mib.MEM_BUFFERS)
        + _first(values, mib.MEM_CACHED_WIDE, mib.MEM_CACHED)
    )


def _first(values: Values, *oids: str) -> int:
    """Return the first of the objects that is not 0."""
    return next((number for oid in oids if (number := _unsigned(values.get(oid)))), 0)


def _unsigned(value: ValueType) -> int:
    """Agents let an Integer32 that is too small for its value run over into the negative."""
    number = integer(value)
    return number % 2**32 if number < 0 else number


def _disk(layout: Layout, values: Values) -> dict[str, Any]:
    drives = {}
    for storage in layout.disks:
        total, free = _size_and_free(storage, values)
        if total:
            drives[storage.name] = {"total": total, "free": free}
    if not drives:
        return {}
    size = sum(drive["total"] for drive in drives.values())
    return {
        "total": {"size": size, "free": sum(drive["free"] for drive in drives.values())},
        "drives": drives,
    }


def _size_and_free(storage: Storage, values: Values) -> tuple[int, int]:
    """Return bytes. The counts are Integer32 (RFC 2790)."""
    size, used = (_unsigned(values.get(oid)) for oid in (storage.size, storage.used))
    return size * storage.unit_bytes, max(0, size - used) * storage.unit_bytes


def _network(layout: Layout, before: Counters | None, now: Counters) -> dict[str, Any]:
    """The total is that of the interfaces with a connector: bridges and VLANs carry the same octets again."""
    if before is None:
        return {}
    limits = {
        oid: interface.narrow_limit
        for interface in layout.interfaces
        if interface.narrow_limit is not None
        for oid in (interface.in_octets, interface.out_octets)
    }
    found = rates(before.octets, now.octets, limits=limits)
    interfaces, physical = {}, []
    for interface in layout.interfaces:
        if interface.in_octets in found and interface.out_octets in found:
            rate = {"rx": round(found[interface.in_octets]), "tx": round(found[interface.out_octets])}
            interfaces[interface.name] = rate
            if interface.is_physical:
                physical.append(rate)
    if not interfaces:
        return {}
    counted = physical or list(interfaces.values())
    total = {way: sum(rate[way] for rate in counted) for way in ("rx", "tx")}
    return {"total": total, "interfaces": interfaces}


def _system(layout: Layout, values: Values) -> dict[str, Any]:
    section: dict[str, Any] = {"hostname": layout.hostname, "os": layout.description}
    uptime = _uptime_seconds(values)
    if uptime is not None:
        section["uptime_seconds"] = int(uptime)
    processes = values.get(mib.HR_SYSTEM_PROCESSES)
    if isinstance(processes, int) and processes >= 0:
        section["processes"] = processes
    return section


def _uptime_seconds(values: Values) -> float | None:
    """The host's uptime, else the agent's. Both are TimeTicks, which wrap after 497 days.

    The engine's time (RFC 3411) does not, so it tells how often they have wrapped, if it is the uptime of the
    agent but for whole wraps: some agents count something else.
    """
    agent, host = (values.get(oid) for oid in (mib.SYS_UPTIME, mib.HR_SYSTEM_UPTIME))
    shown = host if isinstance(host, int) else agent
    if not isinstance(shown, int) or not isinstance(agent, int):
        return None
    engine = integer(values.get(mib.SNMP_ENGINE_TIME))
    wraps = round((engine - agent / TICKS) / WRAP_SECONDS)
    if wraps < 1 or abs(agent / TICKS + wraps * WRAP_SECONDS - engine) > CLOCKS_DIFFER_SECONDS:
        return shown / TICKS
    # The host has been up for at least as long as its agent.
    wraps = max(0, ceil((engine - CLOCKS_DIFFER_SECONDS - shown / TICKS) / WRAP_SECONDS))
    return shown / TICKS + wraps * WRAP_SECONDS
