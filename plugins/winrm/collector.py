"""One task from start to result: poll or discovery of one host, within its deadline."""

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import gevent

from plugins.contract import MAX_ERROR_CHARACTERS, ErrorCode, Operation, Task
from plugins.winrm.cache import SessionCache
from plugins.winrm.errors import Deadline, ScriptError, classify
from plugins.winrm.script import command, parse_document
from plugins.winrm.session import HostSession

ResultFields = dict[str, Any]


def work(cache: SessionCache, task: Task) -> ResultFields:
    """Never raises: whatever happens to one host becomes its result."""
    started = time.monotonic()
    try:
        with gevent.Timeout(task.timeout_seconds, Deadline):
            fields = _discover(cache, task) if task.operation == Operation.DISCOVERY else _poll(cache, task)
    except Exception as error:  # noqa: BLE001 (the plugin's edge: five libraries' exceptions)
        code, message = classify(error)
        fields = failure(code, message)
    fields["duration_ms"] = round((time.monotonic() - started) * 1_000, 3)
    return answer(task.request_id, task.target, task.port, task.device_id, fields)


def answer(
    request_id: str, target: str, port: int, device_id: int | None, fields: Mapping[str, Any]
) -> ResultFields:
    return {"request_id": request_id, "device_id": device_id, "target": target, "port": port, **fields}


def failure(code: ErrorCode, message: str) -> ResultFields:
    return {"success": False, "error_code": code.value, "error": message[:MAX_ERROR_CHARACTERS]}


def _poll(cache: SessionCache, task: Task) -> ResultFields:
    executable, arguments = command()
    with cache.session(task) as session:
        output = session.run(executable, arguments)
    sampled_at = datetime.now(UTC).isoformat()
    # Outside the session: an answer we cannot use says nothing against the connection.
    document, errors = parse_document(output.stdout, output.stderr, output.exit_code)
    _tell_once(task.target, errors)
    hostname = str(document.get("system", {}).get("hostname") or "")
    return {"success": True, "data": document, "hostname": hostname, "sampled_at": sampled_at}


@lru_cache(maxsize=10_000)
def _tell_once(target: str, errors: tuple[str, ...]) -> None:
    """A section that could not be read leaves a hole in the document; the log says why, once for each
    host.
    """
    for error in errors:
        print(f"{target}: {error}", file=sys.stderr)  # noqa: T201 (words for people)


def _discover(cache: SessionCache, task: Task) -> ResultFields:
    """`hostname` needs no PowerShell; nothing is kept, since most hosts are seen once."""
    session = HostSession(task.target, task.port, task.credentials, task.timeout_seconds)
    try:
        output = session.run("hostname", ())
    except BaseException:
        cache.discard(session.abandon)
        raise
    session.close()
    hostname = output.stdout.decode("utf-8", errors="replace").strip()
    if output.exit_code != 0 or not hostname:
        raise ScriptError(f"`hostname` ended with exit code {output.exit_code} and said nothing")
    return {"success": True, "hostname": hostname}
