"""The PowerShell of a poll: one process a poll, or one that stays and answers a line for each line it gets.

The script is short enough for cmd.exe's command line, through which every text shell goes.
"""

import base64
from functools import lru_cache
from typing import Any

import orjson

from plugins.winrm.document import Rows
from plugins.winrm.errors import ScriptError
from plugins.winrm.queries import QUERIES

# cmd.exe cuts a line at 8,191 characters.
MAX_COMMAND_LINE = 8_191
ARGUMENTS = ("-NoProfile", "-NonInteractive", "-EncodedCommand")
UTF8_BOM = b"\xef\xbb\xbf"

# Output goes past the console, whose code page would turn what it does not know into question marks. Moments
# leave as text that no culture changes. A class that cannot be read leaves the others standing.
COLLECT = """\
$ProgressPreference='SilentlyContinue'
$w=New-Object IO.StreamWriter([Console]::OpenStandardOutput(),(New-Object Text.UTF8Encoding $false))
$w.AutoFlush=$true
function V($v){if($v -is [datetime]){$v.ToUniversalTime().ToString('o')}else{$v}}
function C{
$d=@{};$e=@()
foreach($q in $queries){
try{
$r=@(Get-CimInstance -Query $q[1] -OperationTimeoutSec 15 -ErrorAction Stop|%{$i=$_;$o=@{};foreach($p in
$q[2].Split(',')){$o[$p]=V $i.$p};$o}) $d[$q[0]]=$r }catch{$e+=$q[0]+': '+$_.Exception.Message} }
@{rows=$d;errors=$e;memory=[Environment]::WorkingSet}|ConvertTo-Json -Compress -Depth 5 }
"""
ONCE = "$w.WriteLine((C))\n"
# A host met for the first time: two readings, one start of PowerShell.
TWICE = "$w.WriteLine((C));Start-Sleep 1;$w.WriteLine((C))\n"
# Each answer begins with the number of its question, so that a late one is never taken for the next.
RESIDENT = """\
$r=New-Object IO.StreamReader([Console]::OpenStandardInput())
while(($l=$r.ReadLine()) -ne $null){$w.WriteLine($l+' '+(C))}
"""


Command = tuple[str, tuple[str, ...]]


def once() -> Command:
    """(executable, arguments)"""
    return _command(ONCE)


def twice() -> Command:
    return _command(TWICE)


def resident() -> Command:
    return _command(RESIDENT)


@lru_cache(maxsize=3)
def _command(tail: str) -> Command:
    queries = ",".join(f"('{query.name}','{query.wql}','{','.join(query.properties)}')" for query in QUERIES)
    source = f"$queries=@({queries})\n{COLLECT}{tail}"
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
