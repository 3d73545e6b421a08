"""What can go wrong between us and a Windows host, as the protocol's error codes.

pywinrm lets exceptions of five libraries through, so the last branch takes whatever is left as the host
speaking something else than WinRM. Fault codes: MS-WSMV and the WSMan error list (wsmerror.h).
"""

import errno
import socket
from collections.abc import Iterator

import requests
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)

from plugins.contract import ErrorCode

ACCESS_DENIED = frozenset({5, 2147942405, 2150859180})
QUOTA = frozenset({2150859173, 2150859174, 2150859179, *range(2150859236, 2150859242)})
# The shell or command is gone (idle timeout, restart of the service), or is used up: a new one helps.
SHELL_GONE = frozenset({2150858843, 2150859174})


# Our own machine has run out of something: no host's fault.
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})


class ScriptError(Exception):
    """The command ran on the host and failed."""


class Deadline(Exception):
    """Our own clock ran out."""


def fault_code(error: BaseException) -> int | None:
    """The WSMan or WMI code of a SOAP fault."""
    if isinstance(error, WSManFaultError):
        return error.wsman_fault_code or error.wmierror_code
    return None


def classify(error: BaseException) -> tuple[ErrorCode, str]:
    """(code, message for people); the message holds no secret."""
    match error:
        case ScriptError():
            return ErrorCode.SCRIPT, str(error)
        case InvalidCredentialsError() | PermissionError():  # the latter by requests_ntlm
            return ErrorCode.AUTH, "the host refused the login"
        case Deadline() | WinRMOperationTimeoutError() | requests.Timeout() | TimeoutError():
            return ErrorCode.TIMEOUT, "the host did not answer in time"
        case WSManFaultError():
            return _classify_fault(error)
        case WinRMTransportError():
            return ErrorCode.PROTOCOL, f"the host answered with HTTP status {error.code}"
        case requests.exceptions.SSLError():
            return ErrorCode.PROTOCOL, f"TLS failed: {_innermost(error)}"
        case requests.RequestException() | OSError():
            return _classify_connection(error)
        case _:
            return ErrorCode.PROTOCOL, f"the host's answer is not WinRM ({type(error).__name__})"


def _classify_fault(error: WSManFaultError) -> tuple[ErrorCode, str]:
    code = fault_code(error)
    reason = " ".join(str(error.reason or "").split())[:200]
    if code in ACCESS_DENIED:
        return ErrorCode.AUTH, f"access denied: {reason}"
    if code in QUOTA:
        return ErrorCode.QUOTA, f"the host's WinRM quota is used up ({code}): {reason}"
    return ErrorCode.PROTOCOL, f"WinRM fault {code}: {reason}"


def _classify_connection(error: BaseException) -> tuple[ErrorCode, str]:
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in OUT_OF_RESOURCES:
            return ErrorCode.INTERNAL, f"this machine has run out of resources: {cause.strerror}"
        if isinstance(cause, ConnectionRefusedError):
            return ErrorCode.REFUSED, "nothing listens on the port"
        if isinstance(cause, TimeoutError):
            return ErrorCode.TIMEOUT, "the host did not answer in time"
        if isinstance(cause, ConnectionResetError | BrokenPipeError):
            return ErrorCode.PROTOCOL, "the host closed the connection"
        if isinstance(cause, socket.gaierror):
            return ErrorCode.UNREACHABLE, "the name does not resolve"
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, requests.RequestException):
            return ErrorCode.UNREACHABLE, f"the host cannot be reached: {cause.strerror}"
    return ErrorCode.PROTOCOL, f"the connection failed: {_innermost(error)}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and everything under it; requests and urllib3 hide causes in `args` and `reason` as well."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = [*current.args, current.__cause__, current.__context__, getattr(current, "reason", None)]
        waiting.extend(item for item in inner if isinstance(item, BaseException))


def _innermost(error: BaseException) -> str:
    *_, last = _causes(error)
    return f"{type(last).__name__}: {last}"[:200]
