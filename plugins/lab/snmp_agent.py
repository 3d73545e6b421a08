"""Real net-snmp agents on loopback.

An agent can pass whole subtrees to a program (pass_persist of snmpd.conf(5)), here snmp_values.py, which
reads them from a file anew for each request, so that a test can have counters wrap or interfaces vanish.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from plugins.lab.daemons import end, environment, program

PORT = 16161
PROGRAM = Path(__file__).parent / "snmp_values.py"
START_SECONDS = 20.0
USERS = {
    # name: (createUser's words, rouser's level)
    "noauth": ("", "noauth"),
    "md5des": ('MD5 "authentic-1" DES "private-12"', "priv"),
    "shaaes": ('SHA "authentic-1" AES "private-12"', "priv"),
    "sha224aes": ('SHA-224 "authentic-1" AES "private-12"', "priv"),
    "sha256aes192": ('SHA-256 "authentic-1" AES192 "private-12"', "priv"),
    "sha384aes256": ('SHA-384 "authentic-1" AES256 "private-12"', "priv"),
    "sha512aes256": ('SHA-512 "authentic-1" AES256 "private-12"', "priv"),
    "shaaes256c": ('SHA "authentic-1" AES256C "private-12"', "priv"),
    "sha256": ('SHA-256 "authentic-1"', "auth"),
}
# The tables that values of our own may stand in for.
MODULES = "ifTable,ifXTable,hrh_storage,hrh_filesys,hr_storage,hr_proc,memory,cpu,vmstat"

Value = tuple[str, str | int]  # snmpd.conf(5)'s type and the value


class Agent:
    """A context manager. With `values` (by OID) the agent has these instead of the machine's own."""

    def __init__(
        self,
        address: str,
        *,
        values: Mapping[str, Value] | None = None,
        name: str = "agent",
        prefix: Sequence[str] = (),
    ) -> None:
        self._prefix = prefix  # for example ("taskset", "-c", "0")
        self.address = address
        self.name = name
        self._values = values
        self._folder = tempfile.TemporaryDirectory(prefix="nms-snmpd-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Agent":
        folder = Path(self._folder.name)
        (folder / "snmpd.conf").write_text(self._configuration(folder))
        if self._values is not None:
            self.set_values(self._values)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def start(self) -> None:
        folder = Path(self._folder.name)
        off = "-smux" if self._values is None else f"-smux,{MODULES}"
        log = folder / "log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    *self._prefix,
                    program("snmpd"),
                    "-f",
                    "-Lo",
                    "-m",
                    "",
                    "-C",
                    "-c",
                    str(folder / "snmpd.conf"),
                    "-I",
                    off,
                ],
                env=environment(SNMP_PERSISTENT_DIR=str(folder / "persistent")),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while "NET-SNMP version" not in log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"snmpd did not start: {log.read_text(errors='replace')}")
            time.sleep(0.05)

    def stop(self) -> None:
        """As a power cut would."""
        if self._process:
            end(self._process)
            self._process = None

    def rename(self, name: str) -> None:
        """Another name and another engine id, from the next start on: an agent that was set up anew."""
        self.name = name
        folder = Path(self._folder.name)
        (folder / "snmpd.conf").write_text(self._configuration(folder))

    def set_values(self, values: Mapping[str, Value]) -> None:
        lines = [f"{oid} {kind} {value}" for oid, (kind, value) in values.items()]
        draft = Path(self._folder.name) / "values.new"
        draft.write_text("\n".join(lines))
        draft.rename(Path(self._folder.name) / "values")

    def _configuration(self, folder: Path) -> str:
        lines = [
            f"agentaddress udp:{self.address}:{PORT}",
            f"engineID {self.name}",
            f"sysName {self.name}",
            "rocommunity public",
            "master no",
        ]
        for name, (words, level) in USERS.items():
            lines += [f"createUser {name} {words}", f"rouser {name} {level}"]
        if self._values is not None:
            for root in roots(self._values):
                lines.append(f"pass_persist {root} {sys.executable} {PROGRAM} {folder / 'values'} {root}")
        return "\n".join(lines) + "\n"


def roots(values: Mapping[str, Value]) -> list[str]:
    """The tables the values belong to: an OID without its column and index."""
    tables = (
        ".1.3.6.1.2.1.2.2",
        ".1.3.6.1.2.1.31.1.1",
        ".1.3.6.1.2.1.25.2.3",
        ".1.3.6.1.2.1.25.3.3",
        ".1.3.6.1.4.1.2021.4",
        ".1.3.6.1.4.1.2021.11",
    )
    return [
        table for table in tables if any(f".{oid.lstrip('.')}.".startswith(f"{table}.") for oid in values)
    ]
