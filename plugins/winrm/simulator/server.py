"""HTTP/1.1 connections to a simulated host: login, unsealing, the shell's operations, and the host's
fault.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any, cast

from plugins.winrm.simulator import soap
from plugins.winrm.simulator.auth import SEALED_TYPE, Authenticator, BadSeal, Unauthorized
from plugins.winrm.simulator.host import Command, Fault, Host

# (code, subcode, reason)
SHELL_NOT_FOUND = (soap.INVALID_SELECTORS, "w:InvalidSelectors", "The shell was not found.")
TIMED_OUT = (soap.TIMED_OUT, "w:TimedOut", "The operation did not end in time.")
NOT_SUPPORTED = (soap.NOT_SUPPORTED, "a:ActionNotSupported", "The action is not supported.")
PIPE_CLOSING = (soap.PIPE_CLOSING, "w:InternalError", "The pipe is being closed.")
BAD_CONTEXT = (soap.BAD_CONTEXT, "n:InvalidEnumerationContext", "The enumeration context is not valid.")
NO_SUCH_CLASS = (
    soap.NO_SUCH_CLASS,
    "n:CannotProcessFilter",
    "The specified class does not exist in the given namespace.",
)
TOO_MANY_SHELLS = (
    soap.MAX_SHELLS,
    "w:QuotaLimit",
    "The maximum number of concurrent shells for this user has been exceeded.",
)
TOO_MANY_OPERATIONS = (
    soap.MAX_OPERATIONS,
    "w:QuotaLimit",
    "The maximum number of concurrent operations for this user has been exceeded.",
)
SHELLS_FORBIDDEN = (soap.NO_SHELLS, "w:AccessDenied", "Remote shell access is disabled.")
REFUSALS = {
    Fault.SOAP_FAULT: (soap.SCHEMA_ERROR, "w:SchemaValidationError", "The message is invalid."),
    Fault.QUOTA: TOO_MANY_SHELLS,
    Fault.ACCESS_DENIED: (soap.ACCESS_DENIED, "w:AccessDenied", "Access is denied."),
}

REASONS = {
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}
TLS_HANDSHAKE = b"\x16"
SOAP_TYPE = "application/soap+xml;charset=UTF-8"


class Connection(asyncio.Protocol):
    """One client's connection. Requests are answered one after the other."""

    def __init__(self, host: Host, authenticator: Callable[[bool], Authenticator]) -> None:
        self.host = host
        self._make_authenticator = authenticator
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        tls = transport.get_extra_info("ssl_object")
        self.auth = self._make_authenticator(
            tls is not None and tls.getpeercert(binary_form=True) is not None
        )
        self.host.counters.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.buffer.startswith(TLS_HANDSHAKE) and self.transport:
            self._send(400)  # in plain text, as HTTP.sys does on a port without TLS
            self.transport.close()
            return
        head_end = self.buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        method, path, headers = _parse_head(bytes(self.buffer[:head_end]))
        end = head_end + 4 + int(headers.get("content-length", "0"))
        if len(self.buffer) < end:
            return
        body = bytes(self.buffer[head_end + 4 : end])
        del self.buffer[:end]
        self.host.counters.requests += 1
        self.host.counters.received_bytes += end
        self.task = asyncio.get_running_loop().create_task(self._answer(method, path, headers, body))

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        fault = self.host.fault
        if fault is Fault.HANG:
            await asyncio.sleep(3_600)
        elif fault is Fault.DRIP:
            await self._drip()
        elif fault is Fault.RESET:
            self._reset()
        elif fault is Fault.UNAVAILABLE:
            self._send(503)
        elif fault is Fault.NOT_WINRM:
            self._send(200, b"<!DOCTYPE html><title>Welcome</title>", [("Content-Type", "text/html")])
        elif path != "/wsman":
            self._send(404)
        elif method != "POST":
            self._send(405)
        else:
            await self._answer_wsman(headers, body)

    async def _answer_wsman(self, headers: dict[str, str], body: bytes) -> None:
        before = self.auth.logins
        try:
            if self.host.fault is Fault.WRONG_PASSWORD:
                self._forget_login(headers)
            self.auth.check(headers.get("authorization", ""))
            is_sealed = headers.get("content-type", "").startswith("multipart/encrypted")
            plain = self.auth.unseal(body) if is_sealed else body
        except Unauthorized as error:
            self.host.counters.refused_logins += error.is_refused
            self._send(401, headers=error.headers)
            return
        except BadSeal:
            self._send(400)
            return
        self.host.counters.logins += self.auth.logins - before
        if not plain:  # the empty request that completes a login
            self._send(200)
            return
        status, answer = await self._operate(plain)
        if self.host.fault is Fault.TRUNCATED_XML:
            answer = answer[: len(answer) // 2]
        if is_sealed:
            self._send(status, self.auth.seal(answer), [("Content-Type", SEALED_TYPE)])
        else:
            self._send(status, answer, [("Content-Type", SOAP_TYPE)])

    def _forget_login(self, headers: dict[str, str]) -> None:
        """A changed password ends the sessions, too; the first leg of a new login is still answered."""
        authorization = headers.get("authorization", "")
        is_first_leg = authorization.startswith(("Negotiate TlRMTVNTUAAB", "NTLM TlRMTVNTUAAB"))
        if not is_first_leg:
            self.auth.is_logged_in = False
            offers = [("WWW-Authenticate", "Negotiate"), ("WWW-Authenticate", 'Basic realm="WSMAN"')]
            raise Unauthorized(offers, is_refused=bool(authorization))

    async def _operate(self, plain: bytes) -> tuple[int, bytes]:
        """(HTTP status, SOAP reply)"""
        try:
            request = soap.parse(plain)
        except soap.InvalidEnvelope:
            return 400, b""
        refusal = self._refusal(request)
        if refusal is not None:
            return 500, soap.fault(request, *refusal)
        if request.action in (soap.ENUMERATE, soap.PULL, soap.RELEASE):
            return await self._operate_enumeration(request)
        if request.action == soap.CREATE:
            shell_id = self.host.open_shell()
            return (
                (200, soap.created(request, shell_id))
                if shell_id
                else (500, soap.fault(request, *TOO_MANY_SHELLS))
            )
        if self.host.fault is Fault.SHELLS_LOST:
            self.host.shells.pop(request.shell_id, None)
        if request.shell_id not in self.host.shells:
            return 500, soap.fault(request, *SHELL_NOT_FOUND)
        return await self._operate_shell(request)

    def _refusal(self, request: soap.Request) -> tuple[int, str, str] | None:
        """What the host's fault makes of every request, or of some."""
        fault = self.host.fault
        if fault is Fault.NO_SHELLS and request.action == soap.CREATE:
            return SHELLS_FORBIDDEN
        return REFUSALS.get(fault)

    async def _operate_enumeration(self, request: soap.Request) -> tuple[int, bytes]:
        if request.action == soap.ENUMERATE:
            await asyncio.sleep(self.host.enumeration_seconds())
            found = self.host.enumerate(request.wql)
            if found is None:
                return 500, soap.fault(request, *NO_SUCH_CLASS)
            return 200, soap.enumerated(request, *found)
        rows = self.host.pull(request.context)
        if rows is None:
            return 500, soap.fault(request, *BAD_CONTEXT)
        return 200, soap.released(request) if request.action == soap.RELEASE else soap.pulled(request, rows)

    async def _operate_shell(self, request: soap.Request) -> tuple[int, bytes]:
        now = asyncio.get_running_loop().time()
        commands = self.host.shells[request.shell_id]
        command = commands.get(request.command_id)
        if request.action == soap.COMMAND:
            if self.host.is_used_up(request.shell_id):
                return 500, soap.fault(request, *TOO_MANY_OPERATIONS)
            started = self.host.start_command(request.shell_id, request.command_line, now)
            return 200, soap.command_started(request, started.id)
        if request.action == soap.RECEIVE and command is not None:
            return await self._receive(request, command)
        if request.action == soap.SEND and command is not None:
            if not self.host.feed(command, request.stdin, now):
                return 500, soap.fault(request, *PIPE_CLOSING)
            return 200, soap.sent(request)
        if request.action == soap.SIGNAL:
            commands.pop(request.command_id, None)
            return 200, soap.signalled(request)
        if request.action == soap.DELETE:
            self.host.close_shell(request.shell_id)
            return 200, soap.deleted(request)
        return 500, soap.fault(request, *NOT_SUPPORTED)

    async def _receive(self, request: soap.Request, command: Command) -> tuple[int, bytes]:
        """A long poll: until there is something to say, or the operation's time is over."""
        loop = asyncio.get_running_loop()
        wait = command.ready_at - loop.time()
        if wait > request.operation_timeout_seconds:
            await asyncio.sleep(request.operation_timeout_seconds)
            return 500, soap.fault(request, *TIMED_OUT)
        await asyncio.sleep(max(0.0, wait))
        stdout, has_ended = command.take(loop.time())
        stderr, command.stderr = command.stderr, b""
        return 200, soap.received(
            request, command.id, stdout, stderr, command.exit_code if has_ended else None
        )

    def _send(self, status: int, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}", "Server: Microsoft-HTTPAPI/2.0"]
        lines += [f"{name}: {value}" for name, value in headers or []]
        lines += [f"Content-Length: {len(body)}", "", ""]
        message = "\r\n".join(lines).encode() + body
        self.host.counters.sent_bytes += len(message)
        if self.transport and not self.transport.is_closing():
            self.transport.write(message)

    async def _drip(self) -> None:
        """A reply that goes on for ever, so that no time-out between two bytes is ever reached."""
        assert self.transport  # noqa: S101 (a request came over it)
        self.transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\nContent-Length: 1000000\r\n\r\n"
        )
        while not self.transport.is_closing():
            self.transport.write(b" ")
            await asyncio.sleep(0.2)

    def _reset(self) -> None:
        """A RST instead of an answer: closing with unsent-data linger of zero (socket(7))."""
        assert self.transport  # noqa: S101 (a request came over it)
        raw: Any = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return method, path, headers
