"""One Windows host: a pywinrm Protocol with its connection, its shell and what runs in it, kept between
polls.

Not for two greenlets at once: an NTLM connection seals its messages by sequence number.
plugins/winrm/cache.py sees to it.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import gevent
import requests
from gevent import socket
from winrm.exceptions import (
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)

from plugins.winrm import wsman
from plugins.winrm.connection import prepare, protocol
from plugins.winrm.errors import PIPE_CLOSED, SHELL_GONE, ScriptError, fault_codes, is_refused_login
from plugins.winrm.powershell import Command, words

CONNECT_SECONDS = 5.0
# A leaked shell dies after this: thirty of them lock an account out of its host.
SHELL_IDLE_TIMEOUT = "PT300S"
CODEPAGE_UTF8 = 65_001
# Operations of a text shell are not given back until it is deleted; Windows allows 1,500 (MS-WSMV, note 118).
MAX_COMMANDS_PER_SHELL = 500
MAX_QUESTIONS = 500  # to one resident process: before what it keeps grows
MAX_RESIDENT_BYTES = 200 * 1024 * 1024  # a shell with its processes may have 1 GiB, on some versions 150 MiB
MAX_OUTPUT_BYTES = 4 * 1024 * 1024
MAX_ROWS = 10_000
CLEAN_UP_SECONDS = 3.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Output:
    stdout: bytes
    stderr: bytes
    exit_code: int


class ResidentEnded(ScriptError):
    """The process that was to stay has ended."""


class HostSession:
    """Raises whatever pywinrm, requests and the standard library raise; plugins/winrm/errors.py sorts it."""

    def __init__(
        self, target: str, port: int, credentials: Mapping[str, Any], timeout_seconds: float
    ) -> None:
        self.address = (target, port)
        self.credentials = credentials
        self.timeout_seconds = timeout_seconds
        self.operation_seconds = max(1, int(timeout_seconds))
        self.protocol = protocol(target, port, credentials, timeout_seconds=timeout_seconds)
        self.endpoint = self.protocol.transport.endpoint
        self.is_connected = False
        self.shell_id: str | None = None
        self.commands = 0  # operations the shell has spent
        self.resident_id: str | None = None
        self.questions = 0
        self._unread = b""  # of the resident process
        self.fallbacks: set[str] = set()  # names of queries whose first class this host does not have

    def run(self, command: Command) -> Output:
        """A process of its own in the kept shell: Command, Receive, Signal."""
        return self._attempt(lambda: self._run_once(command))

    def ask(self, command: Command) -> bytes:
        """A line from the resident process, which is started if it is not there: Send, Receive."""
        return self._attempt(lambda: self._ask_once(command))

    def select(self, wql: str) -> list[dict[str, Any]]:
        """The rows of a query, without a shell or a process on the host: Enumerate, Pull until the end."""
        return self._attempt(lambda: self._select_once(wql))

    def recycle(self) -> None:
        """Has the next poll begin with a new shell: before what is kept on the host grows, or its quota
        ends.
        """
        self._delete_shell()

    def close(self) -> None:
        """Deletes the shell, within a few seconds, and drops the connection; never raises."""
        with gevent.Timeout(CLEAN_UP_SECONDS, False), suppress(Exception):
            self._delete_shell()
        self._disconnect()

    def abandon(self) -> None:
        """After a deadline or a broken exchange: the connection is of no use, so the shell is deleted
        over a new one.
        """
        self._disconnect()
        if self.shell_id is None:
            return
        with gevent.Timeout(CLEAN_UP_SECONDS, False), suppress(Exception):
            self._connect()
        self.close()  # which deletes nothing where there is no connection: it asks to die by itself

    # --- the ways to collect ----------------------------------------------------------------------

    def _run_once(self, command: Command) -> Output:
        if self.resident_id is not None:
            self._delete_shell()
        shell_id = self._open_shell()
        command_id = self._start(shell_id, command)
        stdout, stderr = [], []
        size = 0
        while True:
            received = self._receive(shell_id, command_id)
            stdout.append(received.stdout)
            stderr.append(received.stderr)
            size = _checked_size(size, received)
            if received.exit_code is not None:
                break
        self._send(
            wsman.terminate(self.endpoint, shell_id, command_id, timeout_seconds=self.operation_seconds)
        )
        if self.commands >= MAX_COMMANDS_PER_SHELL:
            self._delete_shell()
        return Output(b"".join(stdout), b"".join(stderr), received.exit_code)

    def _ask_once(self, command: Command) -> bytes:
        """One that has died since the last poll is started again, once."""
        was_there = self.resident_id is not None
        try:
            return self._question(command)
        except ResidentEnded:
            self._delete_shell()
            if not was_there:
                raise
        return self._question(command)

    def _question(self, command: Command) -> bytes:
        shell_id = self._open_shell()
        if self.resident_id is None:
            self.resident_id = self._start(shell_id, command)
            self._unread = b""
        self.questions += 1
        number = b"%d" % self.questions
        seconds = self.operation_seconds
        try:
            self._send(
                wsman.send(
                    self.endpoint, shell_id, self.resident_id, number + b"\r\n", timeout_seconds=seconds
                )
            )
        except WSManFaultError as error:
            if PIPE_CLOSED not in fault_codes(error):
                raise
            # It has ended; what it said before comes with the next Receive.
        answer = self._read_answer(shell_id, self.resident_id, number + b" ")
        if self.questions % MAX_QUESTIONS == 0:
            self._delete_shell()
        return answer

    def _read_answer(self, shell_id: str, command_id: str, beginning: bytes) -> bytes:
        """The line that begins so; others are late answers to questions nobody waits for any more."""
        stderr, size = b"", 0
        while True:
            *lines, self._unread = self._unread.split(b"\n")
            for line in lines:
                if line.startswith(beginning):
                    return line.removeprefix(beginning)
            received = self._receive(shell_id, command_id)
            size = _checked_size(size, received)
            self._unread += received.stdout
            stderr = (stderr + received.stderr)[-1_000:]
            if received.exit_code is not None:
                self.resident_id = None
                raise ResidentEnded(
                    f"the script ended with exit code {received.exit_code}: {words(stderr or self._unread)}"
                )

    def _select_once(self, wql: str) -> list[dict[str, Any]]:
        seconds = self.operation_seconds
        reply = self._send(wsman.enumerate_wql(self.endpoint, wql, timeout_seconds=seconds))
        page, size = wsman.page_of(reply), len(reply)
        rows = page.rows
        while len(rows) <= MAX_ROWS and size <= MAX_OUTPUT_BYTES:
            if not page.context:
                return rows
            reply = self._send(wsman.pull(self.endpoint, page.context, timeout_seconds=seconds))
            page, size = wsman.page_of(reply), size + len(reply)
            rows += page.rows or [{}]  # a page without rows is on the way to the end, too
        self._send(wsman.release(self.endpoint, page.context, timeout_seconds=seconds))
        raise wsman.Unexpected("the host's enumeration has no end")

    # --- shells and commands ----------------------------------------------------------------------

    def _open_shell(self) -> str:
        if self.shell_id is None:
            self.shell_id = self.protocol.open_shell(codepage=CODEPAGE_UTF8, idle_timeout=SHELL_IDLE_TIMEOUT)
            self.commands = 0
        return self.shell_id

    def _start(self, shell_id: str, command: Command) -> str:
        self.commands += 1
        executable, arguments = command
        text = wsman.command(
            self.endpoint, shell_id, executable, arguments, timeout_seconds=self.operation_seconds
        )
        return wsman.command_id_of(self._send(text))

    def _receive(self, shell_id: str, command_id: str) -> wsman.Received:
        """Receive is a long poll: the host says so when there is nothing yet. The caller's clock ends it,
        pywinrm's own loop never would.
        """
        text = wsman.receive(self.endpoint, shell_id, command_id, timeout_seconds=self.operation_seconds)
        try:
            return wsman.received_of(self._send(text))
        except WinRMOperationTimeoutError:
            return wsman.Received(b"", b"", None)

    def _delete_shell(self) -> None:
        """The processes in it end with it."""
        shell_id, self.shell_id, self.resident_id = self.shell_id, None, None
        if shell_id is not None and self.is_connected:
            self.protocol.close_shell(shell_id, close_session=False)

    def _send(self, text: str) -> bytes:
        return self.protocol.send_message(text)

    # --- connection -------------------------------------------------------------------------------

    def _attempt(self, operation: Callable[[], Answer]) -> Answer:
        """A session that has gone stale is rebuilt once."""
        try:
            return self._try(operation)
        except Exception as error:
            if not is_refused_login(error):
                raise
            # Deleting the shell would be one more login with a password that was just refused, and accounts
            # lock.
            self.shell_id = self.resident_id = None
            raise

    def _try(self, operation: Callable[[], Answer]) -> Answer:
        if not self.is_connected:
            self._connect()
            return operation()
        try:
            return operation()
        except Exception as error:  # noqa: BLE001 (five libraries' exceptions; sorted by _renew)
            if not self._renew(error):
                raise
        return operation()

    def _connect(self) -> None:
        """A short probe first: pywinrm has one time-out for connecting and reading."""
        socket.create_connection(self.address, timeout=min(CONNECT_SECONDS, self.timeout_seconds)).close()
        prepare(self.protocol, self.credentials)
        self.is_connected = True

    def _renew(self, error: Exception) -> bool:
        """Prepares for a second try where the kept state explains the error; False where it does not."""
        if is_refused_login(error) or isinstance(error, requests.Timeout | ScriptError):
            return False
        if fault_codes(error) & SHELL_GONE:
            self.close()
        elif _is_lost_connection(error):
            # The host closed the idle connection. urllib3 reconnects without a word, but the seal's context
            # was the old connection's. The shell belongs to the user and lives on; a question that came
            # through after all is answered twice, and its late answer dropped by its number.
            self._disconnect()
        else:
            return False
        self._connect()
        return True

    def _disconnect(self) -> None:
        with suppress(Exception):
            self.protocol.transport.close_session()
        self.is_connected = False


def _is_lost_connection(error: Exception) -> bool:
    if isinstance(error, WSManFaultError):
        return False
    return isinstance(error, ConnectionError | OSError) or (
        isinstance(error, WinRMTransportError) and error.code == 400
    )


def _checked_size(size: int, received: wsman.Received) -> int:
    size += len(received.stdout) + len(received.stderr)
    if size > MAX_OUTPUT_BYTES:
        raise ScriptError("the script's output has no end")
    return size
