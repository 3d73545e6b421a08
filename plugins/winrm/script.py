"""The PowerShell script of a poll, as a command line, and its answer as the poll document."""

import base64
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from plugins.winrm.errors import ScriptError

# cmd.exe, through which the text shell runs every line, cuts at 8,191 characters.
MAX_COMMAND_LINE = 8_191
ARGUMENTS = ("-NoProfile", "-NonInteractive", "-EncodedCommand")
SECTIONS = ("cpu", "memory", "disk", "network", "system")
UTF8_BOM = b"\xef\xbb\xbf"


@lru_cache(maxsize=1)
def command() -> tuple[str, tuple[str, ...]]:
    """(executable, arguments) of one poll: PowerShell with the script as base64 of UTF-16LE."""
    source = (Path(__file__).parent / "collect.ps1").read_text(encoding="ascii")
    encoded = base64.b64encode(source.encode("utf-16-le")).decode("ascii")
    line = " ".join(("powershell", *ARGUMENTS, encoded))
    if len(line) >= MAX_COMMAND_LINE:
        raise ScriptError(f"the script makes a command line of {len(line)} characters")
    return "powershell", (*ARGUMENTS, encoded)


def parse_document(stdout: bytes, stderr: bytes, exit_code: int) -> dict[str, Any]:
    """The poll document. Raises ScriptError with what the host said when there is none.

    Judged by exit code and JSON only: stderr carries progress records although nothing is wrong.
    """
    if exit_code != 0:
        raise ScriptError(f"the script ended with exit code {exit_code}: {_words(stderr)}")
    try:
        answer = orjson.loads(stdout.removeprefix(UTF8_BOM).decode("utf-8", errors="replace"))
    except orjson.JSONDecodeError:
        raise ScriptError(f"the script's output is not JSON: {_words(stdout)}") from None
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict):
        raise ScriptError("the script's output has no data")
    document = {name: data[name] for name in SECTIONS if isinstance(data.get(name), dict)}
    if not document:
        errors = answer.get("errors") or ["no section could be read"]
        raise ScriptError(f"nothing could be read: {str(errors[0])[:200]}")
    return document


def _words(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace").strip()[:200]
