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


def parse_document(stdout: bytes, stderr: bytes, exit_code: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The poll document, and what the host said of sections it could not read. Raises ScriptError with what
    the host said when there is none.

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
    found = answer.get("errors")
    errors = tuple(str(error)[:200] for error in found) if isinstance(found, list) else ()
    if not document:
        raise ScriptError(f"nothing could be read: {errors[0] if errors else 'no section came'}")
    return document, errors


def _words(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace").strip()[:200]
