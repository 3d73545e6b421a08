"""What can go wrong between us and a Windows host, as the protocol's error codes.

pywinrm lets exceptions of five libraries through, so the last branch takes whatever is left as the host
speaking something else than WinRM. Fault codes: MS-WSMV and the WSMan error list (wsmerror.h).
"""

import binascii
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb

import requests
from spnego.exceptions import SpnegoError
from winrm.exceptions import (
    InvalidCredentialsError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)

from plugins.contract import ErrorCode
from plugins.kit.network import classify_bug, classify_network
from plugins.winrm.busy_guard import KeptBusy
from plugins.winrm.connection import ExtraMissing
from plugins.winrm.replies import ReplyTooLarge
from plugins.winrm.wsman import Unexpected, messages_of

SHELLS_FORBIDDEN = 2150859180  # AllowRemoteShellAccess
ACCESS_DENIED = frozenset({5, 2147942405, SHELLS_FORBIDDEN})
QUOTA = frozenset({2150859173, 2150859174, 2150859179, *range(2150859236, 2150859242)})
# What parsing a host's nonsense raises, wherever it is raised.
NONSENSE = (
    ET.ParseError,
    binascii.Error,
    UnicodeDecodeError,
    AssertionError,
    StopIteration,
    requests.RequestException,
)
# The shell or command is gone (idle timeout, restart of the service), or is used up: a new one helps.
SHELL_GONE = frozenset({2150858843, 2150859174})
PIPE_CLOSED = 232  # ERROR_NO_DATA: the process has ended

HTTP_WORDS = {
    400: "it cannot open our messages",
    404: "there is no /wsman: another service",
    405: "another service",
    413: "the message is too large",
    500: "it refuses unencrypted messages, or failed",
    503: "the service is starting or overloaded",
}


class ScriptError(Exception):
    """The command ran on the host and failed."""


class Deadline(BaseException):
    """Our own clock ran out. No Exception, so that nothing on the way takes it for a failure of its own
    and goes on.
    """


class QuotaPause(Exception):
    """The host is left alone for a while."""


def fault_codes(error: BaseException) -> frozenset[int]:
    """The codes of a SOAP fault: WSMan's, WMI's, or both; the same code may come as either."""
    if isinstance(error, WSManFaultError):
        return frozenset(code for code in (error.wsman_fault_code, error.wmierror_code) if code)
    return frozenset()


def is_quota(error: BaseException) -> bool:
    return bool(fault_codes(error) & QUOTA)


def is_refused_login(error: BaseException) -> bool:
    """By name where the class is of a package that may not be installed (requests_credssp)."""
    if isinstance(error, PermissionError):
        return error.errno is None  # by requests_ntlm; with a number it is the operating system's
    name = type(error).__name__
    return isinstance(error, InvalidCredentialsError) or name in (
        "AuthenticationException",
        "NTStatusException",
    )


def is_accepted_login(error: BaseException) -> bool:
    """Whoever answers with SOAP, or runs our script, has let us in."""
    return isinstance(error, WSManFaultError | WinRMOperationTimeoutError | ScriptError)


def classify(error: BaseException, target: str = "") -> tuple[ErrorCode, str]:
    """Return (code, message) for what `target` caused; the message holds no secret."""
    match error:
        case ScriptError():
            return ErrorCode.SCRIPT, str(error)
        case QuotaPause():
            return ErrorCode.QUOTA, str(error)
        case ExtraMissing():
            return ErrorCode.INTERNAL, str(error)
        case ReplyTooLarge():
            return ErrorCode.PROTOCOL, str(error)
        case KeptBusy():
            return ErrorCode.PROTOCOL, "the host's answer kept the plugin busy and was given up"
        case _ if is_refused_login(error):
            return ErrorCode.AUTH, "the host refused the login: account, password or transport is wrong"
        case Deadline() | WinRMOperationTimeoutError() | requests.Timeout() | TimeoutError():
            return ErrorCode.TIMEOUT, "the host did not answer in time"
        case WSManFaultError():
            return _classify_fault(error)
        case WinRMTransportError():
            reason = HTTP_WORDS.get(error.code, "another service")
            return ErrorCode.PROTOCOL, f"the host answered with HTTP status {error.code}: {reason}"
    return _classify_connection(error, target) or _classify_other(error)


def _classify_fault(error: WSManFaultError) -> tuple[ErrorCode, str]:
    codes = fault_codes(error)
    shown = ", ".join(map(str, sorted(codes))) or error.fault_subcode or "without a code"
    reason = _reason(error)
    if codes & ACCESS_DENIED:
        return ErrorCode.AUTH, f"access denied: the login is right, the account lacks rights: {reason}"
    if codes & QUOTA:
        return ErrorCode.QUOTA, f"the host's WinRM quota is used up ({shown}): {reason}"
    return ErrorCode.PROTOCOL, f"WinRM fault {shown}: {reason}"


def _reason(error: WSManFaultError) -> str:
    """The innermost words: the outer ones are the same for every fault of a provider."""
    messages = list(messages_of(str(error.response or "")))
    return (messages[-1] if messages else " ".join(str(error.reason or "").split()))[:200]


def _classify_connection(error: BaseException, target: str) -> tuple[ErrorCode, str] | None:
    if isinstance(error, requests.exceptions.SSLError):
        return ErrorCode.PROTOCOL, f"TLS failed: {_innermost(error)}"
    if isinstance(error, requests.TooManyRedirects):
        return None
    if not isinstance(error, OSError):  # as all of requests' are
        return None
    for cause in _causes(error):
        found = None if isinstance(cause, requests.RequestException) else classify_network(cause, target)
        if found is not None:
            return found
    return ErrorCode.PROTOCOL, f"the connection failed: {_innermost(error)}"


def _classify_other(error: BaseException) -> tuple[ErrorCode, str]:
    name = type(error).__name__
    if name == "KerberosExchangeError":
        return ErrorCode.INTERNAL, "Kerberos failed: the worker has no valid ticket for this host (kinit)"
    if isinstance(error, SpnegoError):
        return ErrorCode.PROTOCOL, f"the host's sealed answer cannot be opened ({name})"
    if isinstance(error, Unexpected):
        return ErrorCode.PROTOCOL, str(error)
    if isinstance(error, NONSENSE) or not _was_raised_here(error):
        return ErrorCode.PROTOCOL, f"the host's answer is not WinRM ({name})"
    return classify_bug(error)


def _was_raised_here(error: BaseException) -> bool:
    """In this plugin's own code, rather than in a library that was handed nonsense by the host."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and Path(frames[-1].f_code.co_filename).is_relative_to(Path(__file__).parent)


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
