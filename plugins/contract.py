"""The plugin protocol, version 1: what a task and a result look like on stdin and stdout.

docs/plugins.md describes it for authors; this module is what both sides of ours use.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson

MAX_DOCUMENT_BYTES = 256 * 1024
MAX_DOCUMENT_VALUES = 20_000
MAX_STDOUT_BYTES = 64 * 1024 * 1024
MAX_STDERR_BYTES = 64 * 1024
MAX_ERROR_CHARACTERS = 500
MAX_REMEMBERED_BYTES = 8 * 1024

# JSON escapes that PostgreSQL's jsonb cannot hold: NUL, and halves of surrogate pairs standing alone.
_ESCAPED_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_ESCAPED_SURROGATE = re.compile(
    rb"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


class ErrorCode(StrEnum):
    AUTH = "auth"  # the login failed or the account lacks rights
    TIMEOUT = "timeout"
    REFUSED = "refused"  # nothing listens on the port
    UNREACHABLE = "unreachable"  # no route, no such host
    PROTOCOL = "protocol"  # the target answers something else than expected
    QUOTA = "quota"  # the target limits us; it is not broken
    SCRIPT = "script"  # the command ran on the target and failed
    INTERNAL = "internal"  # the plugin's own fault, never the target's


class Operation(StrEnum):
    POLL = "poll"
    DISCOVERY = "discovery"


@dataclass(frozen=True, slots=True)
class Task:
    """One target to work on; `credentials` never appear in a repr."""

    request_id: str
    target: str
    port: int
    credentials: Mapping[str, Any] = field(repr=False)
    timeout_seconds: float
    device_id: int | None = None
    operation: Operation = Operation.POLL
    remembered: Mapping[str, str] = field(default_factory=dict)  # what earlier results had in `remember`

    def to_json(self) -> bytes:
        return orjson.dumps(
            {
                "request_id": self.request_id,
                "device_id": self.device_id,
                "target": self.target,
                "port": self.port,
                "credentials": dict(self.credentials),
                "timeout_seconds": self.timeout_seconds,
                "operation": self.operation.value,
                "remembered": dict(self.remembered),
            }
        )


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to one task. `data` is the poll document as JSON text; `duration_ms` is the plugin's own
    measure.
    """

    request_id: str
    success: bool
    error_code: ErrorCode | None = None
    error: str = ""
    hostname: str = ""
    data: str | None = None
    sampled_at: datetime | None = None
    duration_ms: float | None = None
    is_login_accepted: bool = False  # of a failure that came after the login
    remember: Mapping[str, str] = field(
        default_factory=dict
    )  # facts to be sent with this device's next tasks
    was_attempted: bool = True  # whether a plugin got the task at all


class InvalidResult(ValueError):
    """An answer that the protocol does not allow."""


def failed(request_id: str, code: ErrorCode, error: str, *, was_attempted: bool = True) -> Result:
    """A failed result made up by the host; `internal` marks the plugin's fault."""
    return Result(
        request_id=request_id,
        success=False,
        error_code=code,
        error=error[:MAX_ERROR_CHARACTERS].replace("\x00", "\ufffd"),
        was_attempted=was_attempted,
    )


def parse_json(raw: bytes) -> Any:
    """Strict JSON (no NaN), with what PostgreSQL cannot hold replaced by U+FFFD. Raises InvalidResult."""
    try:
        if b"\\u0000" in raw:
            raw = _ESCAPED_NUL.sub(rb"\1\\ufffd", raw)
        if b"\\ud" in raw or b"\\uD" in raw:
            raw = _ESCAPED_SURROGATE.sub(_keep_pairs, raw)
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        pass
    try:
        # Bytes that are not UTF-8 (a half character of a code page) cost one character, not the answer.
        return orjson.loads(raw.decode("utf-8", errors="replace"))
    except orjson.JSONDecodeError as error:
        raise InvalidResult(f"not valid JSON: {error}") from None


def _keep_pairs(match: re.Match[bytes]) -> bytes:
    is_pair = len(match[2]) == 12
    return match[0] if is_pair else match[1] + rb"\ufffd"


def parse_result(fields: Any) -> Result:
    """One result object as the plugin wrote it. Raises InvalidResult; a document too large becomes a failed
    result.
    """
    if not isinstance(fields, dict) or not isinstance(fields.get("request_id"), str):
        raise InvalidResult("a result must be an object with a request_id")
    request_id = fields["request_id"]
    success = fields.get("success")
    if not isinstance(success, bool):
        return failed(request_id, ErrorCode.INTERNAL, "the plugin's result has no boolean 'success'")
    if not success:
        return _parse_failure(request_id, fields)
    data = fields.get("data")
    if data is not None and not isinstance(data, dict):
        return failed(request_id, ErrorCode.INTERNAL, "the plugin's 'data' is not an object")
    try:
        document = None if data is None else orjson.dumps(data)
    except TypeError:  # it reads deeper nesting than it writes
        return failed(request_id, ErrorCode.INTERNAL, "the document is nested too deeply")
    if document is not None and len(document) > MAX_DOCUMENT_BYTES:
        limit = f"more than {MAX_DOCUMENT_BYTES // 1024} KiB"
        return failed(request_id, ErrorCode.INTERNAL, f"the document has {len(document)} bytes, {limit}")
    # Each value but the first has a comma before it, so that most documents need not be counted.
    if document is not None and document.count(b",") >= MAX_DOCUMENT_VALUES:
        values = _count_values(data)
        if values > MAX_DOCUMENT_VALUES:
            limit = f"more than {MAX_DOCUMENT_VALUES:,}"
            return failed(request_id, ErrorCode.INTERNAL, f"the document has {values:,} values, {limit}")
    return Result(
        request_id=request_id,
        success=True,
        hostname=str(fields.get("hostname") or "")[:255],
        data=None if document is None else document.decode(),
        sampled_at=_parse_time(fields.get("sampled_at")),
        duration_ms=_parse_duration(fields.get("duration_ms")),
        remember=_parse_remember(fields.get("remember")),
    )


def _count_values(value: Any) -> int:
    """Texts, numbers, booleans and nulls, however deep."""
    if isinstance(value, dict):
        value = list(value.values())
    return sum(map(_count_values, value)) if isinstance(value, list) else 1


def _parse_remember(value: Any) -> dict[str, str]:
    """Texts by name; anything else, or too much of it, counts as not given."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        return {}
    return value if len(orjson.dumps(value)) <= MAX_REMEMBERED_BYTES else {}


def _parse_failure(request_id: str, fields: dict[str, Any]) -> Result:
    try:
        code = ErrorCode(str(fields.get("error_code")))
    except ValueError:
        code = ErrorCode.INTERNAL
    message = str(fields.get("error") or code.value)[:MAX_ERROR_CHARACTERS].replace("\x00", "\ufffd")
    return Result(
        request_id=request_id,
        success=False,
        error_code=code,
        error=message,
        sampled_at=_parse_time(fields.get("sampled_at")),
        duration_ms=_parse_duration(fields.get("duration_ms")),
        is_login_accepted=fields.get("login") == "accepted",
    )


def _parse_time(value: Any) -> datetime | None:
    """An RFC 3339 time with its zone; anything else counts as not given."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.upper())  # t and z are as good (RFC 3339, section 5.6)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _parse_duration(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return None
    return float(value)
