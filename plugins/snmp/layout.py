"""What an agent has: interfaces, storages, processors, and the objects that a poll asks for. Read by walking
its tables, which costs many requests; a poll then needs one or two.
"""

import asyncio
from collections.abc import Awaitable, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from gufo.snmp import SnmpVersion, ValueType

from plugins.snmp import mib
from plugins.snmp.client import TEXTS, Client, TableError

# Pseudo file systems that agents list among the fixed disks: these folders and what is below them.
NO_DISKS = ("/dev", "/proc", "/run", "/sys", "/snap", "/var/lib/docker")
MAX_GAUGE32 = 2**32 - 1  # what a Gauge32 shows of anything larger
# Agents update their counters every few seconds, so a full link may seem faster than it is.
LINK_TOLERANCE = 1.5

Table = TypeVar("Table")


@dataclass(frozen=True, slots=True)
class Interface:
    name: str
    in_octets: str  # OID, as the next
    out_octets: str
    is_physical: bool
    # Octets a second that no reading can exceed, where both counters have 32 bits and the speed is known.
    narrow_limit: float | None = None


@dataclass(frozen=True, slots=True)
class Storage:
    name: str
    unit_bytes: int
    size: str  # OID, as the next
    used: str


@dataclass(frozen=True, slots=True)
class Layout:
    hostname: str
    description: str
    interfaces: tuple[Interface, ...]
    disks: tuple[Storage, ...]
    ram: Storage | None
    processors: tuple[str, ...]  # OIDs
    optional: tuple[str, ...]  # those of mib.OPTIONAL that are there
    problems: tuple[str, ...] = ()  # tables that could not be read

    def restricted_to(self, values: Container[str]) -> "Layout":
        """Without what a table lists but the agent does not answer for."""
        has_ram = self.ram is not None and self.ram.size in values and self.ram.used in values
        return replace(
            self,
            interfaces=tuple(
                one for one in self.interfaces if one.in_octets in values and one.out_octets in values
            ),
            disks=tuple(one for one in self.disks if one.size in values and one.used in values),
            ram=self.ram if has_ram else None,
            processors=tuple(oid for oid in self.processors if oid in values),
            optional=tuple(oid for oid in self.optional if oid in values),
        )

    def objects(self) -> list[str]:
        """Everything one poll asks for."""
        storages = [*self.disks, *([self.ram] if self.ram else [])]
        return [
            mib.SYS_UPTIME,
            *self.optional,
            *self.processors,
            *(oid for interface in self.interfaces for oid in (interface.in_octets, interface.out_octets)),
            *(oid for storage in storages for oid in (storage.size, storage.used)),
        ]


async def layout_read(client: Client, *, seconds: float) -> Layout:
    """Walk the agent's tables for at most `seconds`. One that cannot be read costs only what it holds.

    Raise TimeoutError, OSError, gufo's SnmpError, AgentError and PrivacyRefused, as the client does.
    """
    client.grow()
    system = await client.get_many([mib.SYS_NAME, mib.SYS_DESCR])
    optional = await client.get_many(mib.OPTIONAL)
    problems: list[str] = []
    until = asyncio.get_running_loop().time() + seconds
    # The interfaces last: theirs are the largest tables.
    processors = await _or_else({}, client.column(mib.HR_PROCESSOR_LOAD), until, "processors", problems)
    disks, ram = await _or_else(((), None), _storages(client), until, "storages", problems)
    return Layout(
        hostname=text(system.get(mib.SYS_NAME)),
        description=text(system.get(mib.SYS_DESCR)),
        interfaces=await _or_else((), _interfaces(client), until, "interfaces", problems),
        disks=disks,
        ram=ram,
        processors=tuple(f"{mib.HR_PROCESSOR_LOAD}.{index}" for index in processors),
        optional=tuple(oid for oid in mib.OPTIONAL if oid in optional),
        problems=tuple(problems),
    )


async def _or_else(
    empty: Table, table: Awaitable[Table], until: float, name: str, problems: list[str]
) -> Table:
    try:
        async with asyncio.timeout_at(until):
            return await table
    except (TableError, TimeoutError) as error:
        reason = str(error) or "no answer in time"
        problems.append(f"its {name} are left out of the next polls: {reason}")
        return empty


async def _interfaces(client: Client) -> tuple[Interface, ...]:
    """With 64-bit counters where the agent has them and uses them (RFC 2863, section 3.1.6)."""
    types = await client.column(mib.IF_TYPE)
    names = await client.column(mib.IF_NAME, rows_at_once=TEXTS)
    # Long, and of use only where there are no names.
    descriptions = (
        {} if types.keys() <= names.keys() else await client.column(mib.IF_DESCR, rows_at_once=TEXTS)
    )
    connectors = await client.column(mib.IF_CONNECTOR_PRESENT)
    indexes = [index for index, kind in types.items() if kind != mib.SOFTWARE_LOOPBACK]
    wide = await _wide_counters(client, indexes)
    narrow = [index for index in indexes if index not in wide]
    limits = await _limits(client, narrow) if narrow else {}
    taken: set[str] = set()
    return tuple(
        Interface(
            name=unique_name(text(names.get(index)) or text(descriptions.get(index)) or index, index, taken),
            in_octets=f"{mib.IF_HC_IN_OCTETS if index in wide else mib.IF_IN_OCTETS}.{index}",
            out_octets=f"{mib.IF_HC_OUT_OCTETS if index in wide else mib.IF_OUT_OCTETS}.{index}",
            is_physical=connectors.get(index) == mib.TRUE,
            narrow_limit=limits.get(index),
        )
        for index in indexes
    )


async def _wide_counters(client: Client, indexes: Sequence[str]) -> set[str]:
    """Return the interfaces whose 64-bit counters can be used: both are there, and they count.

    Some agents have only one of the two, or leave both at 0 while the 32-bit ones count.
    """
    if client.version is SnmpVersion.v1:  # which has no Counter64
        return set()
    received = await client.column(mib.IF_HC_IN_OCTETS)
    sent = await client.column(mib.IF_HC_OUT_OCTETS) if received else {}
    present = [index for index in indexes if index in received and index in sent]
    zero = [index for index in present if not received[index] and not sent[index]]
    narrow = await client.get_many(
        [f"{oid}.{index}" for index in zero for oid in (mib.IF_IN_OCTETS, mib.IF_OUT_OCTETS)]
    )
    stuck = {oid.rpartition(".")[2] for oid, octets in narrow.items() if octets and oid != mib.SYS_UPTIME}
    return {index for index in present if index not in stuck}


async def _limits(client: Client, indexes: Sequence[str]) -> dict[str, float]:
    """Return the octets a second that no reading of a link can exceed, where the agent knows its speed."""
    speeds = await client.column(mib.IF_SPEED)
    saturated = any(speeds.get(index) == MAX_GAUGE32 for index in indexes)
    high_speeds = await client.column(mib.IF_HIGH_SPEED) if saturated else {}
    limits = {}
    for index in indexes:
        bits = integer(speeds.get(index))
        if bits == MAX_GAUGE32:
            bits = integer(high_speeds.get(index)) * 1_000_000
        if bits > 0:
            limits[index] = LINK_TOLERANCE * bits / 8
    return limits


def unique_name(name: str, index: str, taken: set[str]) -> str:
    """Return `name`, with the row's index where another row has the same."""
    unique = f"{name} ({index})" if name in taken else name
    taken.add(unique)
    return unique


async def _storages(client: Client) -> tuple[tuple[Storage, ...], Storage | None]:
    """(disks, main memory)"""
    types = await client.column(mib.HR_STORAGE_TYPE)
    if not types:
        return (), None
    descriptions = await client.column(mib.HR_STORAGE_DESCR, rows_at_once=TEXTS)
    units = await client.column(mib.HR_STORAGE_UNITS)
    taken: set[str] = set()
    disks = [
        _storage(index, unique_name(text(descriptions.get(index)) or index, index, taken), units)
        for index, kind in types.items()
        if kind == mib.HR_STORAGE_FIXED_DISK and not is_pseudo(text(descriptions.get(index)))
    ]
    rams = [_storage(index, index, units) for index, kind in types.items() if kind == mib.HR_STORAGE_RAM]
    return tuple(disks), rams[0] if rams else None


def is_pseudo(path: str) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in NO_DISKS)


def _storage(index: str, name: str, units: Mapping[str, ValueType]) -> Storage:
    return Storage(
        name=name,
        unit_bytes=max(1, integer(units.get(index))),
        size=f"{mib.HR_STORAGE_SIZE}.{index}",
        used=f"{mib.HR_STORAGE_USED}.{index}",
    )


def text(value: ValueType) -> str:
    """An OctetString as text; agents end some with NUL."""
    return value.decode("utf-8", errors="replace").strip("\0 \r\n") if isinstance(value, bytes) else ""


def integer(value: ValueType) -> int:
    return value if isinstance(value, int) else 0
