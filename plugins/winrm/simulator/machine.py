"""What a simulated Windows machine is and does: WMI classes whose values move like a real host's."""

import math
import re
import time
import zlib
from datetime import UTC, datetime
from typing import Any

GIB = 2**30
CORES = 4
BANDWIDTH_BITS = 1_000_000_000
PERFORMANCE_FREQUENCY = 10_000_000
SELECT = re.compile(r"SELECT ([\w,*]+) FROM (\w+)(?: WHERE (.+))?$", re.IGNORECASE)

Row = dict[str, Any]


class Machine:
    def __init__(self, seed: int, *, is_localised: bool) -> None:
        self.seed = seed
        self.is_localised = is_localised
        self.hostname = f"СЕРВЕР-{seed % 1_000}" if is_localised else f"WIN-{seed:08X}"
        self._booted = time.time() - seed % 5_000_000
        self._counted_at = time.time()
        self._idle = [0.0] * CORES  # seconds
        self._octets = [0.0, 0.0]

    def select(self, wql: str, *, later_seconds: float = 0.0) -> list[Row] | None:
        """Rows with the properties asked for; None for an unknown class or an unreadable query."""
        match = SELECT.match(wql.strip())
        if match is None:
            return None
        now = time.time() + later_seconds
        self._count(now)
        rows = self._rows(match[2], now)
        if rows is None:
            return None
        properties = match[1].split(",")
        return [{name: row.get(name) for name in properties} for row in rows if _fits(row, match[3])]

    def _count(self, now: float) -> None:
        """Counters come along with time, at the load of this moment."""
        elapsed = max(0.0, now - self._counted_at)
        self._counted_at = max(now, self._counted_at)
        for core in range(CORES):
            self._idle[core] += elapsed * (1 - self._load(now, core))
        self._octets[0] += elapsed * (4e6 * self._load(now, 0) + 2e5)
        self._octets[1] += elapsed * (1e6 * self._load(now, 1) + 1e5)

    def _rows(self, class_name: str, now: float) -> list[Row] | None:
        makers = {
            "Win32_PerfRawData_Counters_ProcessorInformation": self._processors,
            "Win32_PerfRawData_Tcpip_NetworkInterface": self._interfaces,
            "Win32_OperatingSystem": self._system,
            "Win32_LogicalDisk": self._disks,
            "Win32_Volume": self._volumes,
            "Win32_ComputerSystem": self._computer,
        }
        return makers[class_name](now) if class_name in makers else None

    def _processors(self, now: float) -> list[Row]:
        idle = {f"0,{core}": seconds for core, seconds in enumerate(self._idle)}
        idle["0,_Total"] = idle["_Total"] = sum(self._idle) / CORES
        times = {
            "Timestamp_Sys100NS": int(now * 1e7),
            "Timestamp_PerfTime": int(now * PERFORMANCE_FREQUENCY),
            "Frequency_PerfTime": PERFORMANCE_FREQUENCY,
        }
        return [
            {"Name": name, "PercentProcessorTime": int(seconds * 1e7), **times}
            for name, seconds in idle.items()
        ]

    def _interfaces(self, now: float) -> list[Row]:
        name = "Сетевой адаптер Intel[R] _2" if self.is_localised else "Ethernet"
        common = {
            "Timestamp_PerfTime": int(now * PERFORMANCE_FREQUENCY),
            "Frequency_PerfTime": PERFORMANCE_FREQUENCY,
        }
        return [
            {
                "Name": name,
                "BytesReceivedPersec": int(self._octets[0]),
                "BytesSentPersec": int(self._octets[1]),
                "CurrentBandwidth": BANDWIDTH_BITS,
                **common,
            },
            {
                "Name": "isatap.{6E06F030-7526-11D2-BAF4-00600815A4BD}",
                "BytesReceivedPersec": 0,
                "BytesSentPersec": 0,
                "CurrentBandwidth": 100_000,
                **common,
            },
        ]

    def _system(self, now: float) -> list[Row]:
        total = (8 << self.seed % 4) * GIB
        used = int(total * (0.35 + 0.4 * self._wave(now, period=3_600, salt=9)))
        edition = (
            "Майкрософт Windows Server 2022 Standard" if self.is_localised else "Windows Server 2022 Standard"
        )
        return [
            {
                "CSName": self.hostname,
                "Caption": f"{'' if self.is_localised else 'Microsoft '}{edition}",
                "LastBootUpTime": _moment(self._booted),
                "LocalDateTime": _moment(now),
                "NumberOfProcesses": 90 + int(40 * self._load(now, 2)),
                "TotalVisibleMemorySize": total // 1024,
                "FreePhysicalMemory": (total - used) // 1024,
            }
        ]

    def _disks(self, now: float) -> list[Row]:
        size = 128 * GIB
        grown = int(size * (0.3 + 0.6 * ((now / 86_400 + self.seed) % 30) / 30))
        return [
            {"DeviceID": "C:", "DriveType": 3, "Size": size, "FreeSpace": size - grown},
            {"DeviceID": "D:", "DriveType": 5, "Size": None, "FreeSpace": None},
            {"DeviceID": "E:", "DriveType": 3, "Size": None, "FreeSpace": None},  # locked by BitLocker
        ]

    def _volumes(self, now: float) -> list[Row]:
        size = 64 * GIB
        return [
            {"Name": "C:\\", "DriveLetter": "C:", "DriveType": 3, "Capacity": size, "FreeSpace": size // 2},
            {
                "Name": "\\\\?\\Volume{4c1b02c1-d990-11dc-99ae-806e6f6e6963}\\",  # mounted nowhere
                "DriveLetter": None,
                "DriveType": 3,
                "Capacity": size // 100,
                "FreeSpace": 0,
            },
        ]

    def _computer(self, now: float) -> list[Row]:
        return [{"Name": self.hostname.upper()[:15], "DNSHostName": self.hostname}]

    def _load(self, now: float, core: int) -> float:
        return self._wave(now, period=300 + 40 * core, salt=core)

    def _wave(self, now: float, *, period: float, salt: int) -> float:
        """0 to 1: a slow wave with a phase of the host's own, and noise that is the same for the same
        second.
        """
        phase = (self.seed >> salt) % 1_000 / 1_000
        noise = zlib.crc32(f"{self.seed}{salt}{int(now)}".encode()) % 1_000 / 1_000
        wave = 0.5 + 0.5 * math.sin(2 * math.pi * (now / period + phase))
        return 0.03 + 0.9 * (0.75 * wave + 0.25 * noise)


def _fits(row: Row, condition: str | None) -> bool:
    """Conditions of the forms `name=number` and `name IS NULL`, joined by AND: all that our queries have."""
    for part in condition.split(" AND ") if condition else ():
        name, _, value = part.removesuffix(" IS NULL").partition("=")
        if str(row.get(name.strip())) != (value.strip() or "None"):
            return False
    return True


def _moment(seconds: float) -> str:
    """As both ways send it: ISO 8601 with seven digits behind the second."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0Z"
