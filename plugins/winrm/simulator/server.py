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
from plugins.winrm.simulator.host import Fault, Host

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 405: "Method Not Allowed"}
SOAP_TYPE = "application/soap+xml;charset=UTF-8"


class Connection(asyncio.Protocol):
    """One client's connection. Requests are answered one after the other."""

    def __init__(self, host: Host, authenticator: Callable[[], Authenticator]) -> None:
        self.host = host
        self.auth = authenticator()
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None
        self.task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.host.counters.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self.task:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
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
        self.task = asyncio.get_running_loop().create_task(self._answer(method, path, headers, body))

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        fault = self.host.fault
        if fault is Fault.HANG:
            await asyncio.sleep(3_600)
        elif fault is Fault.RESET:
            self._reset()
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
        if self.host.fault is Fault.SOAP_FAULT:
            return 500, soap.fault(
                request, soap.SCHEMA_ERROR, "w:SchemaValidationError", "The message is invalid."
            )
        if self.host.fault is Fault.QUOTA:
            return self._too_many_shells(request)
        if request.action == soap.CREATE:
            shell_id = self.host.open_shell()
            return (200, soap.created(request, shell_id)) if shell_id else self._too_many_shells(request)
        if request.shell_id not in self.host.shells:
            return 500, soap.fault(
                request, soap.INVALID_SELECTORS, "w:InvalidSelectors", "The shell was not found."
            )
        return await self._operate_shell(request)

    async def _operate_shell(self, request: soap.Request) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        commands = self.host.shells[request.shell_id]
        if request.action == soap.COMMAND:
            command = self.host.start_command(request.shell_id, request.command_line, loop.time())
            return 200, soap.command_started(request, command.id)
        if request.action == soap.RECEIVE and request.command_id in commands:
            command = commands[request.command_id]
            wait = command.ready_at - loop.time()
            if wait > request.operation_timeout_seconds:
                await asyncio.sleep(request.operation_timeout_seconds)
                return 500, soap.fault(
                    request, soap.TIMED_OUT, "w:TimedOut", "The operation did not end in time."
                )
            await asyncio.sleep(max(0.0, wait))
            return 200, soap.received(request, command.id, command.stdout, command.stderr, command.exit_code)
        if request.action == soap.SIGNAL:
            commands.pop(request.command_id, None)
            return 200, soap.signalled(request)
        if request.action == soap.DELETE:
            self.host.close_shell(request.shell_id)
            return 200, soap.deleted(request)
        return 500, soap.fault(
            request, soap.NOT_SUPPORTED, "a:ActionNotSupported", "The action is not supported."
        )

    def _too_many_shells(self, request: soap.Request) -> tuple[int, bytes]:
        reason = "The maximum number of concurrent shells for this user has been exceeded."
        return 500, soap.fault(request, soap.MAX_SHELLS, "w:QuotaLimit", reason)

    def _send(self, status: int, body: bytes = b"", headers: list[tuple[str, str]] | None = None) -> None:
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}", "Server: Microsoft-HTTPAPI/2.0"]
        lines += [f"{name}: {value}" for name, value in headers or []]
        lines += [f"Content-Length: {len(body)}", "", ""]
        if self.transport and not self.transport.is_closing():
            self.transport.write("\r\n".join(lines).encode() + body)

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
