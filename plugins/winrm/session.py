"""One Windows host: a pywinrm Protocol with its connection and its shell, kept between polls.

Not for two greenlets at once: an NTLM connection seals its messages by sequence number.
plugins/winrm/cache.py sees to it.
"""

import hashlib
import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gevent
import requests
from gevent import socket
from winrm.exceptions import InvalidCredentialsError, WinRMOperationTimeoutError, WinRMTransportError
from winrm.protocol import Protocol

from plugins.winrm.errors import SHELL_GONE, Deadline, fault_code

HTTPS_PORT = 5986
CONNECT_SECONDS = 5.0
# A leaked shell dies after this: thirty of them lock an account out of its host.
SHELL_IDLE_TIMEOUT = "PT300S"
CODEPAGE_UTF8 = 65_001
# Operations of a text shell are not given back until it is deleted; Windows allows 1,500 (MS-WSMV, note 118).
MAX_COMMANDS_PER_SHELL = 500
CLEAN_UP_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Output:
    stdout: bytes
    stderr: bytes
    exit_code: int


class HostSession:
    """Raises whatever pywinrm, requests and the standard library raise; plugins/winrm/errors.py sorts it."""

    def __init__(
        self, target: str, port: int, credentials: Mapping[str, Any], timeout_seconds: float
    ) -> None:
        self.address = (target, port)
        self.timeout_seconds = timeout_seconds
        self.protocol = _protocol(target, port, credentials, timeout_seconds)
        self.shell_id: str | None = None
        self.commands = 0
        self.is_connected = False

    def run(self, executable: str, arguments: tuple[str, ...]) -> Output:
        """Runs a command in the kept shell; a session that has gone stale is rebuilt once."""
        try:
            return self._run_or_renew(executable, arguments)
        except (InvalidCredentialsError, PermissionError):  # the latter by requests_ntlm
            # Deleting the shell would be one more login with a password that was just refused, and accounts
            # lock.
            self.shell_id = None
            raise

    def _run_or_renew(self, executable: str, arguments: tuple[str, ...]) -> Output:
        if not self.is_connected:
            self._connect()
            return self._run_once(executable, arguments)
        try:
            return self._run_once(executable, arguments)
        except Exception as error:  # noqa: BLE001 (five libraries' exceptions; sorted by _renew)
            if not self._renew(error):
                raise
        return self._run_once(executable, arguments)

    def close(self) -> None:
        """Deletes the shell, within a few seconds, and drops the connection; never raises."""
        shell_id, self.shell_id = self.shell_id, None
        with gevent.Timeout(CLEAN_UP_SECONDS, False), suppress(Exception):
            if shell_id is not None:
                self.protocol.close_shell(shell_id, close_session=False)
        self._disconnect()

    def abandon(self) -> None:
        """After a deadline or a broken exchange: the connection is of no use, so the shell is deleted over a
        new one.
        """
        self._disconnect()
        self.close()

    def _run_once(self, executable: str, arguments: tuple[str, ...]) -> Output:
        if self.shell_id is None:
            self.shell_id = self.protocol.open_shell(codepage=CODEPAGE_UTF8, idle_timeout=SHELL_IDLE_TIMEOUT)
            self.commands = 0
        self.commands += 1
        command_id = self.protocol.run_command(self.shell_id, executable, arguments)
        output = self._receive(self.shell_id, command_id)
        self.protocol.cleanup_command(self.shell_id, command_id)
        if self.commands >= MAX_COMMANDS_PER_SHELL:
            self.protocol.close_shell(self.shell_id, close_session=False)
            self.shell_id = None
        return output

    def _receive(self, shell_id: str, command_id: str) -> Output:
        """Until the command ends. Receive is a long poll; the caller's clock ends it, pywinrm's loop never
        would.
        """
        stdout, stderr = [], []
        while True:
            try:
                out, err, code, is_done = self.protocol.get_command_output_raw(shell_id, command_id)
            except WinRMOperationTimeoutError:
                continue
            stdout.append(out)
            stderr.append(err)
            if is_done:
                return Output(b"".join(stdout), b"".join(stderr), code)

    def _connect(self) -> None:
        """A short probe first: pywinrm has one time-out for connecting and reading."""
        try:
            socket.create_connection(self.address, timeout=min(CONNECT_SECONDS, self.timeout_seconds)).close()
        except TimeoutError:
            raise Deadline from None
        # Proxies and .netrc are looked up three times a request otherwise, and never apply here.
        self.protocol.transport.build_session().trust_env = False
        self.is_connected = True

    def _renew(self, error: Exception) -> bool:
        """Prepares for a second try where the kept state explains the error; False where it does not."""
        if isinstance(error, PermissionError | requests.Timeout):
            return False
        if fault_code(error) in SHELL_GONE:
            self.close()
        elif isinstance(error, ConnectionError | OSError) or (
            isinstance(error, WinRMTransportError) and error.code == 400
        ):
            # The host closed the idle connection. urllib3 reconnects without a word, but the seal's context
            # was the old connection's. The shell belongs to the user and lives on.
            self._disconnect()
        else:
            return False
        self._connect()
        return True

    def _disconnect(self) -> None:
        with suppress(Exception):
            self.protocol.transport.close_session()
        self.is_connected = False


def _protocol(target: str, port: int, credentials: Mapping[str, Any], timeout_seconds: float) -> Protocol:
    scheme = credentials.get("scheme") or ("https" if port == HTTPS_PORT else "http")
    host = f"[{target}]" if ":" in target else target
    domain = credentials.get("domain")
    username = f"{domain}\\{credentials['username']}" if domain else credentials["username"]
    ca_cert = credentials.get("ca_cert")
    # The read time-out is only the last resort behind our own clock; it must exceed the operation's.
    operation_seconds = max(1, int(timeout_seconds))
    return Protocol(
        endpoint=f"{scheme}://{host}:{port}/wsman",
        transport="ntlm" if domain else credentials.get("transport", "ntlm"),
        username=username,
        password=credentials["password"],
        server_cert_validation="validate" if credentials.get("verify", True) else "ignore",
        ca_trust_path=_ca_file(ca_cert) if ca_cert else None,  # type: ignore[arg-type]  # None is documented
        operation_timeout_sec=operation_seconds,
        read_timeout_sec=operation_seconds + 5,
        proxy=None,
    )


@lru_cache(maxsize=256)
def _ca_file(pem: str) -> str:
    """requests takes a certificate authority by file name only; a certificate is no secret."""
    name = hashlib.sha256(pem.encode()).hexdigest()[:16]
    descriptor, path = tempfile.mkstemp(prefix=f"nms-ca-{name}-", suffix=".pem")
    with os.fdopen(descriptor, "w") as file:
        file.write(pem)
    return path
