"""Real daemons for the plugins' tests, unpacked by .ci/daemons; each is a child process on loopback."""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / ".venv" / "daemons"
LIBRARIES = os.pathsep.join(str(path) for path in ROOT.glob("**/lib/*-linux-gnu"))


# Debian 13 moved what Debian 12 has in bin and sbin below usr.
FOLDERS = ("usr/sbin", "usr/bin", "sbin", "bin")


def program(name: str) -> str:
    """Return the path of an unpacked program, such as snmpd. Raise FileNotFoundError with the remedy."""
    for folder in FOLDERS:
        if (ROOT / folder / name).exists():
            return str(ROOT / folder / name)
    raise FileNotFoundError(f"{ROOT} has no {name}: run `make test`, or `sh .ci/daemons {ROOT}`")


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.defpath, "LD_LIBRARY_PATH": LIBRARIES, "MIBS": "", **more}


def end(process: "subprocess.Popen[bytes]") -> None:
    """The daemon and its children."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


def descendants(pid: int) -> list[int]:
    """Processes below `pid`, it excluded."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found
