"""The two ends of a plugin: tasks taken from JSON, results made for it. No I/O but words on stderr."""

import resource
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from plugins.contract import MAX_ERROR_CHARACTERS, ErrorCode, Operation, Task

ResultFields = dict[str, Any]

DEFAULT_TIMEOUT_SECONDS = 20.0
UTF8_BOM = b"\xef\xbb\xbf"
MAX_FILES = 20_000
KEYS = ("request_id", "device_id", "target", "port")


class InvalidBatch(ValueError):
    """stdin holds no array of tasks: nothing can be answered."""


class InvalidTask(ValueError):
    """A task that cannot be worked on; the message names the field."""


def operation_of(arguments: Sequence[str]) -> Operation:
    """What a task without `operation` asks for, by the plugin's command line."""
    return Operation.DISCOVERY if "-discovery" in arguments else Operation.POLL


def parse_batch(raw: bytes) -> list[Any]:
    """The tasks of batch mode, not looked at yet; none for empty input. Raises InvalidBatch."""
    try:
        items = parse_line(raw) if raw.strip() else []
    except orjson.JSONDecodeError as error:
        raise InvalidBatch(f"stdin is not valid JSON: {error}") from None
    if not isinstance(items, list):
        raise InvalidBatch("stdin must hold one JSON array of tasks")
    return items


def parse_line(line: bytes) -> Any:
    """One JSON value, with or without a byte order mark before it. Raises orjson.JSONDecodeError."""
    return orjson.loads(line.strip().removeprefix(UTF8_BOM) or b"[]")


def parse_task(item: Any, operation: Operation) -> Task:
    """Unknown keys are ignored; the credentials are the plugin's to judge. Raises InvalidTask."""
    if not isinstance(item, dict):
        raise InvalidTask("a task must be an object")
    request_id, target, port = item.get("request_id"), item.get("target"), item.get("port")
    is_port = isinstance(port, int) and not isinstance(port, bool)
    if not isinstance(request_id, str) or not isinstance(target, str) or not is_port:
        raise InvalidTask("request_id and target must be strings, port a number")
    timeout = item.get("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout <= 0:
        raise InvalidTask("timeout_seconds must be a positive number")
    try:
        wanted = Operation(item.get("operation") or operation)
    except ValueError:
        raise InvalidTask(f"operation must be one of {', '.join(Operation)}") from None
    remembered = item.get("remembered")
    return Task(
        request_id=request_id,
        target=target,
        port=int(port or 0),
        credentials=_credentials(item.get("credentials")),
        timeout_seconds=float(timeout),
        device_id=item.get("device_id"),
        operation=wanted,
        remembered=remembered if isinstance(remembered, dict) else {},
    )


def _credentials(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise InvalidTask("credentials: the string does not hold JSON") from None
    if not isinstance(value, dict):
        raise InvalidTask("credentials: must be an object")
    return value


def text_of(credentials: Mapping[str, Any], key: str, default: str = "") -> str:
    """A text of the credentials. Raises InvalidTask where something else stands there."""
    value = credentials.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise InvalidTask(f"credentials: {key} must be a text")
    return value


def needed_text_of(credentials: Mapping[str, Any], key: str) -> str:
    """Raises InvalidTask where it is missing or empty."""
    value = text_of(credentials, key)
    if not value:
        raise InvalidTask(f"credentials: {key} is needed")
    return value


def choice_of(credentials: Mapping[str, Any], key: str, choices: Sequence[str], default: str) -> str:
    """Raises InvalidTask where it is none of the choices."""
    value = text_of(credentials, key) or default
    if value not in choices:
        raise InvalidTask(f"credentials: {key} must be one of {', '.join(choices)}")
    return value


def answer(task: Task, fields: Mapping[str, Any]) -> ResultFields:
    """A result with the keys that tie it to its task."""
    return {
        "request_id": task.request_id,
        "device_id": task.device_id,
        "target": task.target,
        "port": task.port,
        **fields,
    }


def failure(code: ErrorCode, message: str) -> ResultFields:
    return {"success": False, "error_code": code.value, "error": message[:MAX_ERROR_CHARACTERS]}


def refused(item: Any, error: InvalidTask) -> ResultFields:
    """The result of something that is no usable task, as far as it says what it is."""
    fields = item if isinstance(item, dict) else {}
    return {
        "request_id": str(fields.get("request_id", "")),
        "device_id": fields.get("device_id"),
        "target": str(fields.get("target", "")),
        "port": fields.get("port", 0),
        **failure(ErrorCode.INTERNAL, str(error)),
    }


def refused_task(task: Task, error: InvalidTask) -> ResultFields:
    """The result of a task whose credentials cannot be used: nobody asked its target anything."""
    return answer(task, failure(ErrorCode.INTERNAL, str(error)))


def encode(result: ResultFields) -> bytes:
    try:
        return orjson.dumps(result)
    except (
        TypeError
    ):  # a target answered with nesting deeper than orjson writes, or with halves of characters
        words = failure(ErrorCode.SCRIPT, "the target's document cannot be written as JSON")
        try:
            return orjson.dumps({**{key: result[key] for key in KEYS}, **words})
        except TypeError:  # the task itself held such keys: only its id leads home
            return orjson.dumps({"request_id": ascii(result["request_id"])[1:-1], **words})


def say(words: str) -> None:
    """Write a line to stderr, which the host puts into its log. The line is lost when the host has ended."""
    with suppress(OSError):
        print(words, file=sys.stderr, flush=True)  # noqa: T201 (a plugin's stderr is its log)


def raise_file_limit() -> int:
    """Each kept session is an open file; the usual soft limit of 1,024 is soon reached. Returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, MAX_FILES) if hard != resource.RLIM_INFINITY else MAX_FILES
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(soft, wanted)
