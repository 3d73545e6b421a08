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

    @property
    def wql(self) -> str:
        condition = f" WHERE {self.where}" if self.where else ""
        return f"SELECT {','.join(self.properties)} FROM {self.class_name}{condition}"  # noqa: S608 (constants)


# Not PerfOS_Processor, which ends at 64 processors.
PROCESSORS = Query(
    "processors",
    "Win32_PerfRawData_Counters_ProcessorInformation",
    ("Name", "PercentProcessorTime", "Timestamp_Sys100NS"),
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

QUERIES = (PROCESSORS, INTERFACES, SYSTEM, DISKS)
RATES = (PROCESSORS, INTERFACES)  # which need a second reading

HOSTNAME = Query("hostname", "Win32_OperatingSystem", ("CSName",))
