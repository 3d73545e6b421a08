"""From /proc to the document: pure functions, with what hosts print and what they should not."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from plugins.ssh.connection import _HostKeyGuard
from plugins.ssh.document import NotLinux, counters_of, document_of, hostname_of, marked, sections_of
from plugins.ssh.worker import HungMounts

SCRIPT = Path(__file__).parents[1] / "collect.sh"
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
tank/My Data 3000 1000 2000 34% /tank/My Data
tank 2500 500 2000 20% /tank
/dev/sdd1 400 100 300 25% /mnt/a?tab
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
        "mounts": "/\n/mnt/with\\040space\n/mnt/a\\011tab",
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
        "/tank/My Data": {"total": 3_072_000, "free": 2_048_000},
        "/tank": {"total": 2_560_000, "free": 2_048_000},
        "/mnt/a\ttab": {"total": 409_600, "free": 307_200},
    }
    # The pool's free space counts once.
    assert found["disk"]["total"] == {
        "size": (1_000 + 2_000 + 1_000 + 500 + 2_000 + 400) * 1024,
        "free": (600 + 1_500 + 2_000 + 300) * 1024,
    }
    assert found["network"]["total"] == {"rx": 500, "tx": 10}
    assert set(found["network"]["interfaces"]) == {"eth0", "br0"}
    assert found["system"] == {
        "hostname": "host-1",
        "os": "Debian 12",
        "uptime_seconds": 110,
        "processes": 42,
    }


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({"user": 1_000, "idle": 900_000}, {"user": 1_050, "idle": 20_000}, None),  # idle time began again
        ({"user": 0, "idle": 5_000}, {"user": 1_000, "idle": 4_999}, 100.0),  # back a tick: it did not move
        ({"user": 0, "idle": 0}, {"user": 2**60, "idle": 500}, None),  # more than can have passed
        ({"user": 0, "idle": 0}, {"user": 250, "idle": 750}, 25.0),
    ],
)
def test_processor_time_that_jumps_is_no_load(
    before: dict[str, Any], now: dict[str, Any], expected: float | None
) -> None:
    found = document(output(**before), output(uptime="110.0 5", **now))
    assert found.get("cpu", {}).get("total") == expected


def test_a_prompt_is_answered_with_the_password_once_in_any_language() -> None:
    guard = _HostKeyGuard(may_learn=False, password="p")
    assert guard.kbdint_auth_requested() == ""
    assert guard.kbdint_challenge_received("", "", "", []) == []
    assert guard.kbdint_challenge_received("", "", "de", [("Passwort: ", False)]) == ["p"]
    assert guard.kbdint_challenge_received("", "", "", [("Verification code: ", False)]) is None


@pytest.mark.parametrize("prompts", [[("User: ", True)], [("Password: ", False), ("Code: ", False)]])
def test_other_prompts_are_not_answered_with_the_password(prompts: list[tuple[str, bool]]) -> None:
    guard = _HostKeyGuard(may_learn=False, password="p")
    assert guard.kbdint_challenge_received("", "", "", prompts) is None


def test_a_key_alone_answers_no_prompt() -> None:
    assert _HostKeyGuard(may_learn=False, password=None).kbdint_auth_requested() is None


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


@pytest.mark.parametrize(
    "line",
    [" " * 500_000, "a " * 250_000, f"/dev/a {'9' * 5_000} 1 1 1% /", f"/dev/a 1 1 1 1% /{'x' * 50_000}"],
)
def test_a_line_that_no_df_prints_costs_nothing(line: str) -> None:
    started = time.monotonic()
    found = document(output(), output(uptime="101 5", df=f"{DF}\n{line}"))
    assert "/" in found["disk"]["drives"]
    assert time.monotonic() - started < 2


def test_process_ids_without_mount_points_are_passed_over() -> None:
    hung = HungMounts()
    for _ in range(2):
        assert hung.note(b"@nms-mounts\n/a\n/b\n@nms-dfpid\n1\n2\n3\n@nms-df\n") == 3
    assert b"hung=' '" in hung.prologue()


def test_a_file_system_that_has_answered_is_not_left_out_any_more() -> None:
    hung = HungMounts()
    assert hung.note(b"@nms-mounts\n/a\n@nms-dfpid\n7\n@nms-df\n") == 7
    assert b"/a" in hung.prologue()
    assert hung.note(b"@nms-mounts\n/a\n@nms-dfpid\n8\n@nms-df\n@nms-end\n") == 0
    assert b"/a" not in hung.prologue()


MOUNTS = """rootfs / rootfs rw 0 0
{root} rw 0 0
proc /proc proc rw 0 0
tmpfs /run tmpfs rw 0 0
server:/export /srv/share nfs4 rw 0 0
share /host 9p rw 0 0
/dev/sr0 /media iso9660 ro 0 0
"""


@pytest.mark.parametrize(
    ("root", "is_shown"),
    [
        ("/dev/sda1 / ext4", True),
        ("root / 9p", True),
        ("vm / virtiofs", True),
        ("tmpfs / tmpfs", True),
        ("fuse-overlayfs / fuse.fuse-overlayfs", True),
        ("overlay / overlay", True),
        ("server:/root / nfs", False),
        ("server:/root / nfs4", False),
    ],
)
def test_the_root_is_a_drive_on_whatever_is_local(tmp_path: Path, root: str, is_shown: bool) -> None:
    (tmp_path / "mounts").write_text(MOUNTS.format(root=root))
    script = SCRIPT.read_text().replace("</proc/mounts", f"<{tmp_path}/mounts")
    ran = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=30)
    mounts = sections_of(ran.stdout)["mounts"]
    assert "".join(mounts).strip() == ("/" if is_shown else "")
