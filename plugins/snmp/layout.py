"""What an agent has: interfaces, storages, processors, and the objects that a poll asks for. Read by walking
its tables, which costs many requests; a poll then needs one or two.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, replace

from gufo.snmp import SnmpVersion, ValueType

from plugins.snmp import mib
from plugins.snmp.client import TEXTS, Client

# Pseudo file systems that agents list among the fixed disks.
NO_DISKS = ("/dev", "/proc", "/run", "/sys", "/snap/", "/var/lib/docker/")


@dataclass(frozen=True, slots=True)
class Interface:
    name: str
    in_octets: str  # OID, as the next
    out_octets: str
    bits: int  # of both counters
    is_physical: bool


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


async def layout_read(client: Client) -> Layout:
    system = await client.get_many([mib.SYS_NAME, mib.SYS_DESCR])
    optional = await client.get_many(mib.OPTIONAL)
    disks, ram = await _storages(client)
    return Layout(
        hostname=text(system.get(mib.SYS_NAME)),
        description=text(system.get(mib.SYS_DESCR)),
        interfaces=await _interfaces(client),
        disks=disks,
        ram=ram,
        processors=tuple(
            f"{mib.HR_PROCESSOR_LOAD}.{index}" for index in await client.column(mib.HR_PROCESSOR_LOAD)
        ),
        optional=tuple(oid for oid in mib.OPTIONAL if oid in optional),
    )


async def _interfaces(client: Client) -> tuple[Interface, ...]:
    """64-bit counters where the agent has them (RFC 2863, section 3.1.6), else those of 32 bits."""
    types = await client.column(mib.IF_TYPE)
    names = await client.column(mib.IF_NAME, rows_at_once=TEXTS)
    # Long, and of use only where there are no names.
    descriptions = (
        {} if types.keys() <= names.keys() else await client.column(mib.IF_DESCR, rows_at_once=TEXTS)
    )
    has_no_64_bits = client.version is SnmpVersion.v1  # which has no Counter64
    wide = {} if has_no_64_bits else await client.column(mib.IF_HC_IN_OCTETS)
    connectors = await client.column(mib.IF_CONNECTOR_PRESENT)
    found = []
    taken: set[str] = set()
    for index, kind in types.items():
        if kind == mib.SOFTWARE_LOOPBACK:
            continue
        name = text(names.get(index)) or text(descriptions.get(index)) or index
        if name in taken:  # two cards of one description
            name = f"{name} ({index})"
        taken.add(name)
        is_wide = index in wide
        found.append(
            Interface(
                name=name,
                in_octets=f"{mib.IF_HC_IN_OCTETS if is_wide else mib.IF_IN_OCTETS}.{index}",
                out_octets=f"{mib.IF_HC_OUT_OCTETS if is_wide else mib.IF_OUT_OCTETS}.{index}",
                bits=64 if is_wide else 32,
                is_physical=connectors.get(index) == mib.TRUE,
            )
        )
    return tuple(found)


async def _storages(client: Client) -> tuple[tuple[Storage, ...], Storage | None]:
    """(disks, main memory)"""
    types = await client.column(mib.HR_STORAGE_TYPE)
    if not types:
        return (), None
    descriptions = await client.column(mib.HR_STORAGE_DESCR, rows_at_once=TEXTS)
    units = await client.column(mib.HR_STORAGE_UNITS)
    disks = [
        _storage(index, descriptions, units)
        for index, kind in types.items()
        if kind == mib.HR_STORAGE_FIXED_DISK and not text(descriptions.get(index)).startswith(NO_DISKS)
    ]
    rams = [
        _storage(index, descriptions, units) for index, kind in types.items() if kind == mib.HR_STORAGE_RAM
    ]
    return tuple(disks), rams[0] if rams else None


def _storage(index: str, descriptions: Mapping[str, ValueType], units: Mapping[str, ValueType]) -> Storage:
    return Storage(
        name=text(descriptions.get(index)) or index,
        unit_bytes=integer(units.get(index)) or 1,
        size=f"{mib.HR_STORAGE_SIZE}.{index}",
        used=f"{mib.HR_STORAGE_USED}.{index}",
    )


def text(value: ValueType) -> str:
    """An OctetString as text; agents end some with NUL."""
    return value.decode("utf-8", errors="replace").strip("\0 \r\n") if isinstance(value, bytes) else ""


def integer(value: ValueType) -> int:
    return value if isinstance(value, int) else 0
