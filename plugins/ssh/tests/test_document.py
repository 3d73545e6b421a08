"""From /proc to the document: pure functions, with what hosts print and what they should not."""

from typing import Any

import pytest

from plugins.ssh.document import NotLinux, counters_of, document_of, hostname_of, marked, sections_of

STAT = "cpu  {user} 0 0 {idle} 0 0 0 0 0 0\ncpu0 {user} 0 0 {idle} 0 0 0 0 0 0\nbtime 5"
NET = """Inter-| Receive
 face |bytes
 lo: 9 0 0 0 0 0 0 0 9 0
eth0:{rx} 0 0 0 0 0 0 0 {tx} 0
 br0: {rx} 0 0 0 0 0 0 0 0 0"""
DF = """Filesystem 1024-blocks Used Available Capacity Mounted on
/dev/sda1 1000 400 600 40% /
/dev/sda1 1000 400 600 40% /again
/dev/sdb1 2000 500 1500 25% /mnt/with space
none 0 0 0 - /empty
/dev/sdc1 100 - - - /odd"""


def output(
    *, uptime: str = "100.0 5", user: int = 0, idle: int = 0, rx: int = 0, tx: int = 0, **more: str
) -> bytes:
    parts = {
        "stat": STAT.format(user=user, idle=idle),
        "meminfo": "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 50 kB",
        "net": NET.format(rx=rx, tx=tx),
        "physical": "/sys/class/net/eth0/device",
        "uptime": uptime,
        "hostname": "host-1",
        "os": 'NAME="x"\nPRETTY_NAME="Debian 12"\nLinux 6.1',
        "processes": "42",
        "df": DF,
        "end": "",
        **more,
    }
    return ("Welcome!\n" + "".join(f"@nms-{name}\n{text}\n" for name, text in parts.items())).encode()


def document(before: bytes, now: bytes) -> dict[str, Any]:
    return document_of(sections_of(now), counters_of(sections_of(before)), counters_of(sections_of(now)))


def test_the_whole_document() -> None:
    found = document(output(), output(uptime="110.0 5", user=250, idle=750, rx=5_000, tx=100))
    assert found["cpu"] == {"total": 25.0, "0": 25.0}
    assert found["memory"] == {"total": 1_024_000, "free": 204_800, "used": 819_200}
    assert found["disk"]["drives"] == {
        "/": {"total": 1_024_000, "free": 614_400},
        "/mnt/with space": {"total": 2_048_000, "free": 1_536_000},
    }
    assert found["network"]["total"] == {"rx": 500, "tx": 10}
    assert set(found["network"]["interfaces"]) == {"eth0", "br0"}
    assert found["system"] == {
        "hostname": "host-1",
        "os": "Debian 12",
        "uptime_seconds": 110,
        "processes": 42,
    }


def test_after_another_boot_there_are_no_rates() -> None:
    found = document(output(uptime="500.0 5", rx=10**9), output(uptime="5.0 5"))
    assert "cpu" not in found
    assert "network" not in found


@pytest.mark.parametrize(
    "more",
    [
        {"stat": "cpu one two"},
        {"uptime": "nan"},
        {"uptime": ""},
        {"uptime": "soon"},
        {"net": "eth0: a b c d e f g h i j"},
        {"stat": ""},
        {"meminfo": ""},
    ],
)
def test_a_proc_that_is_not_linuxs_is_the_hosts_affair(more: dict[str, Any]) -> None:
    with pytest.raises(NotLinux):
        counters_of(sections_of(output(**more)))


def test_output_that_ends_early_is_not_taken() -> None:
    with pytest.raises(NotLinux, match="not complete"):
        sections_of(output().replace(b"@nms-end", b""))


def test_odd_figures_are_left_out() -> None:
    found = document(output(), output(uptime="101 5", meminfo="MemTotal: \u00b2 kB\nx", processes="many"))
    assert "memory" not in found
    assert "processes" not in found["system"]


def test_only_what_stands_behind_its_mark_is_a_host_name() -> None:
    assert hostname_of(marked(b"motd\n@nms-hostname\nhost-1\n@nms-end\n")) == "host-1"
    assert hostname_of(marked(b"This account is currently not available.\n")) == ""
