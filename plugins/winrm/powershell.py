"""The PowerShell of a poll: one process a poll, or one that stays and answers a line for each line it gets.

The script is short enough for cmd.exe's command line, through which every text shell goes.
"""

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from plugins.winrm.document import Rows
from plugins.winrm.errors import ScriptError
from plugins.winrm.queries import QUERIES

# cmd.exe cuts a line at 8,191 characters.
MAX_COMMAND_LINE = 8_191
ARGUMENTS = ("-NoProfile", "-NonInteractive", "-EncodedCommand")
UTF8_BOM = b"\xef\xbb\xbf"

# What follows the definitions of collect.ps1. There output goes past the console, whose code page would turn
# what it does not know into question marks; moments leave as text that no culture changes; a class that
# cannot be read leaves the others standing.
ONCE = "$w.WriteLine((C))\n"
# A host met for the first time: two readings, one start of PowerShell.
TWICE = "$w.WriteLine((C))\nStart-Sleep 1\n$w.WriteLine((C))\n"
# Each answer begins with the number of its question, so that a late one is never taken for the next.
RESIDENT = (
    "$in=New-Object IO.StreamReader([Console]::OpenStandardInput())\n"
    "while(($l=$in.ReadLine()) -ne $null){$w.WriteLine($l+' '+(C))}\n"
)

Command = tuple[str, tuple[str, ...]]


def once() -> Command:
    """(executable, arguments)"""
    return _command(ONCE)


def twice() -> Command:
    return _command(TWICE)


def resident() -> Command:
    return _command(RESIDENT)


def source_of(tail: str) -> str:
    """The whole script."""
    queries = ",".join(
        f"('{query.name}','{query.wql}','{','.join(query.properties)}','{query.fallback_wql}')"
        for query in QUERIES
    )
    collect = (Path(__file__).parent / "collect.ps1").read_text(encoding="ascii")
    return f"$queries=@({queries})\n{collect}{tail}"


@lru_cache(maxsize=3)
def _command(tail: str) -> Command:
    source = source_of(tail)
    encoded = base64.b64encode(source.encode("utf-16-le")).decode("ascii")
    line = " ".join(("powershell", *ARGUMENTS, encoded))
    if len(line) >= MAX_COMMAND_LINE:
        raise ScriptError(f"the script makes a command line of {len(line)} characters")
    return "powershell", (*ARGUMENTS, encoded)


def parse_lines(stdout: bytes, stderr: bytes, exit_code: int) -> list[Rows]:
    """What a process printed, a line each time it collected. Raises ScriptError with what the host said.

    Judged by exit code and JSON only: stderr carries progress records although nothing is wrong.
    """
    if exit_code != 0:
        raise ScriptError(f"the script ended with exit code {exit_code}: {words(stderr)}")
    found = [parse(line) for line in stdout.removeprefix(UTF8_BOM).splitlines() if line.strip()]
    if not found:
        raise ScriptError("the script said nothing")
    return found


def parse(line: bytes) -> Rows:
    """Raises ScriptError."""
    try:
        answer = orjson.loads(line.strip().removeprefix(UTF8_BOM).decode("utf-8", errors="replace"))
    except orjson.JSONDecodeError:
        raise ScriptError(f"the script's output is not JSON: {words(line)}") from None
    rows = answer.get("rows") if isinstance(answer, dict) else None
    if not isinstance(rows, dict):
        raise ScriptError("the script's output has no rows")
    kept = {
        str(name): [row for row in found if isinstance(row, dict)]
        for name, found in rows.items()
        if isinstance(found, list)
    }
    errors = answer.get("errors")
    memory: Any = answer.get("memory")
    return Rows(
        kept,
        tuple(str(error)[:200] for error in errors) if isinstance(errors, list) else (),
        memory if isinstance(memory, int) else 0,
    )


def words(raw: bytes) -> str:
    """What a host said, without the XML that PowerShell wraps progress and errors into."""
    text = raw.decode("utf-8", errors="replace").strip()
    return text[:200] or "no words"
