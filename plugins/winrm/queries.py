"""What a poll asks of Windows: the same classes and properties by PowerShell and by CIM.

Names of classes and properties are the same in every language of Windows, which those of counters are not.
Rates are taken from the raw classes, by two readings of our own: the formatted ones need two samples on the
host and show 0 or nonsense first. Processors come first, so that the poll's own work is not in their figure.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Query:
    name: str
    class_name: str
    properties: tuple[str, ...]
    where: str = ""
    fallback_class: str = ""  # with the same properties, for hosts that have no rows of the class
    is_optional: bool = False  # accounts that may read the other classes may be refused this one

    @property
    def wql(self) -> str:
        return self._select(self.class_name)

    @property
    def fallback_wql(self) -> str:
        """Return the query of the other class, or "" where there is none."""
        return self._select(self.fallback_class) if self.fallback_class else ""

    def _select(self, class_name: str) -> str:
        condition = f" WHERE {self.where}" if self.where else ""
        return f"SELECT {','.join(self.properties)} FROM {class_name}{condition}"  # noqa: S608 (constants)


# PerfOS_Processor ends at 64 processors.
PROCESSORS = Query(
    "processors",
    "Win32_PerfRawData_Counters_ProcessorInformation",
    ("Name", "PercentProcessorTime", "Timestamp_Sys100NS", "Timestamp_PerfTime", "Frequency_PerfTime"),
    fallback_class="Win32_PerfRawData_PerfOS_Processor",
)
INTERFACES = Query(
    "interfaces",
    "Win32_PerfRawData_Tcpip_NetworkInterface",
    (
        "Name",
        "BytesReceivedPersec",
        "BytesSentPersec",
        "CurrentBandwidth",
        "Timestamp_PerfTime",
        "Frequency_PerfTime",
    ),
)
SYSTEM = Query(
    "system",
    "Win32_OperatingSystem",
    (
        "CSName",
        "Caption",
        "LastBootUpTime",
        "LocalDateTime",
        "NumberOfProcesses",
        "TotalVisibleMemorySize",
        "FreePhysicalMemory",
    ),
)
DISKS = Query("disks", "Win32_LogicalDisk", ("DeviceID", "Size", "FreeSpace"), "DriveType=3")

# What is mounted in folders; an account without administrator's rights may see none.
VOLUMES = Query(
    "volumes",
    "Win32_Volume",
    ("Name", "DriveLetter", "Capacity", "FreeSpace"),
    "DriveType=3 AND DriveLetter IS NULL",
    is_optional=True,
)
# CSName and Name, of NetBIOS, end after 15 letters.
COMPUTER = Query("computer", "Win32_ComputerSystem", ("DNSHostName", "Name"), is_optional=True)

QUERIES = (PROCESSORS, INTERFACES, SYSTEM, DISKS, VOLUMES, COMPUTER)
RATES = (PROCESSORS, INTERFACES)  # which need a second reading
