"""The objects a poll reads, by number.

SNMPv2-MIB (RFC 3418), IF-MIB (RFC 2863), HOST-RESOURCES-MIB (RFC 2790); UCD-SNMP-MIB is net-snmp's own, for
what the standard ones do not say: memory without caches, and CPU time in ticks.
"""

SYS_DESCR = "1.3.6.1.2.1.1.1.0"
SYS_UPTIME = "1.3.6.1.2.1.1.3.0"  # hundredths of a second since the agent started; wraps after 497 days
SYS_NAME = "1.3.6.1.2.1.1.5.0"

IF_DESCR = "1.3.6.1.2.1.2.2.1.2"
IF_TYPE = "1.3.6.1.2.1.2.2.1.3"
IF_SPEED = "1.3.6.1.2.1.2.2.1.5"  # bit/s, at most 2^32 - 1
IF_IN_OCTETS = "1.3.6.1.2.1.2.2.1.10"  # 32 bits: wraps every 34 s at 1 Gbit/s
IF_OUT_OCTETS = "1.3.6.1.2.1.2.2.1.16"
IF_NAME = "1.3.6.1.2.1.31.1.1.1.1"
IF_HC_IN_OCTETS = "1.3.6.1.2.1.31.1.1.1.6"  # 64 bits
IF_HC_OUT_OCTETS = "1.3.6.1.2.1.31.1.1.1.10"
IF_HIGH_SPEED = "1.3.6.1.2.1.31.1.1.1.15"  # Mbit/s
IF_CONNECTOR_PRESENT = "1.3.6.1.2.1.31.1.1.1.17"
SOFTWARE_LOOPBACK = 24  # ifType
TRUE = 1  # TruthValue, RFC 2579

SNMP_ENGINE_TIME = "1.3.6.1.6.3.10.2.1.3.0"  # seconds since the agent started (RFC 3411); does not wrap

HR_SYSTEM_UPTIME = "1.3.6.1.2.1.25.1.1.0"  # of the host, not of the agent
HR_SYSTEM_PROCESSES = "1.3.6.1.2.1.25.1.6.0"
HR_STORAGE_TYPE = "1.3.6.1.2.1.25.2.3.1.2"
HR_STORAGE_DESCR = "1.3.6.1.2.1.25.2.3.1.3"
HR_STORAGE_UNITS = "1.3.6.1.2.1.25.2.3.1.4"
HR_STORAGE_SIZE = "1.3.6.1.2.1.25.2.3.1.5"
HR_STORAGE_USED = "1.3.6.1.2.1.25.2.3.1.6"
HR_STORAGE_RAM = "1.3.6.1.2.1.25.2.1.2"
HR_STORAGE_FIXED_DISK = "1.3.6.1.2.1.25.2.1.4"
HR_PROCESSOR_LOAD = "1.3.6.1.2.1.25.3.3.1.2"  # percent, over the last minute

MEM_TOTAL = "1.3.6.1.4.1.2021.4.5.0"  # KiB, as all of UCD's
MEM_FREE = "1.3.6.1.4.1.2021.4.6.0"
MEM_BUFFERS = "1.3.6.1.4.1.2021.4.14.0"
MEM_CACHED = "1.3.6.1.4.1.2021.4.15.0"
MEM_AVAILABLE = "1.3.6.1.4.1.2021.4.27.0"  # net-snmp 5.9 and newer
# The same as Counter64: the Integer32 ones above run over at 2 TiB.
MEM_TOTAL_WIDE = "1.3.6.1.4.1.2021.4.20.0"
MEM_FREE_WIDE = "1.3.6.1.4.1.2021.4.21.0"
MEM_BUFFERS_WIDE = "1.3.6.1.4.1.2021.4.25.0"
MEM_CACHED_WIDE = "1.3.6.1.4.1.2021.4.26.0"
# Ticks of all processors together. Idle and waiting for a disk are not work.
CPU_WORKING = {
    name: f"1.3.6.1.4.1.2021.11.{number}.0"
    for name, number in (
        ("user", 50),
        ("nice", 51),
        ("system", 52),
        ("interrupt", 56),
        ("soft_interrupt", 61),
        ("steal", 64),
    )
}
CPU_RESTING = {"idle": "1.3.6.1.4.1.2021.11.53.0", "wait": "1.3.6.1.4.1.2021.11.54.0"}

# What may be there, beside the tables; asked for once, then only what was.
OPTIONAL = (
    SNMP_ENGINE_TIME,
    HR_SYSTEM_UPTIME,
    HR_SYSTEM_PROCESSES,
    MEM_TOTAL,
    MEM_FREE,
    MEM_BUFFERS,
    MEM_CACHED,
    MEM_AVAILABLE,
    MEM_TOTAL_WIDE,
    MEM_FREE_WIDE,
    MEM_BUFFERS_WIDE,
    MEM_CACHED_WIDE,
    *CPU_WORKING.values(),
    *CPU_RESTING.values(),
)
