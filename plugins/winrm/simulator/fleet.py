"""A fleet: one listening socket for each host's address, and a control port for faults and counters."""

import asyncio
import json
import os
import resource
import ssl
import tempfile
from contextlib import suppress
from pathlib import Path

from plugins.winrm.simulator.auth import Authenticator
from plugins.winrm.simulator.certificate import Certificate
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Counters, Fault, Host
from plugins.winrm.simulator.server import Connection

SPARE_FILES = 512


class Fleet:
    def __init__(self, config: FleetConfig) -> None:
        self.config = config
        self.hosts = {
            address: Host(address, config.latency_seconds, config.is_localised)
            for address in config.addresses()
        }
        self.control_port = 0
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: dict[str, set[Connection]] = {address: set() for address in self.hosts}
        self.certificate = Certificate.made("simulated-host") if config.use_tls else None
        self._tls = _tls_context(self.certificate, config.client_ca) if self.certificate else None

    async def start(self) -> None:
        _raise_file_limit(3 * len(self.hosts))
        _write_user_file(self.config)
        for address in self.hosts:
            await self._listen(address)
        control = await asyncio.start_server(self._control, self.config.control, self.config.control_port)
        self.control_port = control.sockets[0].getsockname()[1]

    async def _listen(self, address: str) -> None:
        host, members = self.hosts[address], self._connections[address]

        def connect() -> Connection:
            connection = Connection(host, self._authenticator)
            members.add(connection)
            return connection

        loop = asyncio.get_running_loop()
        self._servers[address] = await loop.create_server(
            connect, address, self.config.port, ssl=self._tls, backlog=64
        )

    def _authenticator(self, has_certificate: bool) -> Authenticator:
        config = self.config
        return Authenticator(
            config.username,
            config.password,
            frozenset(config.transports),
            has_certificate=has_certificate,
            bindings=self.certificate.bindings() if self.certificate and config.is_strict else None,
        )

    async def set_fault(self, address: str, fault: Fault) -> None:
        """A host that is gone has no listener and no connection; any other fault meets connections that
        exist, too.
        """
        host = self.hosts[address]
        was_gone, host.fault = host.fault is Fault.GONE, fault
        if fault is Fault.SHELLS_LOST:
            host.shells.clear()
        if fault is Fault.GONE:
            server = self._servers.pop(address, None)
            if server:
                server.close()
            self._drop_connections(address)
        elif was_gone:
            await self._listen(address)

    def _drop_connections(self, address: str) -> None:
        for connection in self._connections[address]:
            if connection.transport:
                connection.transport.abort()
        self._connections[address].clear()

    def totals(self) -> Counters:
        total = Counters()
        for host in self.hosts.values():
            total.add(host.counters)
        return total

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """JSON lines: {"set": {address: fault}}, {"counters": null or address}; one JSON line each in
        return.
        """
        with suppress(ConnectionError):
            while line := await reader.readline():
                try:
                    answer = await self._obey(json.loads(line))
                except (ValueError, KeyError, AttributeError) as error:
                    answer = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        writer.close()

    async def _obey(self, order: dict[str, object]) -> dict[str, object]:
        if isinstance(wanted := order.get("set"), dict):
            for address, fault in wanted.items():
                await self.set_fault(address, Fault(fault))
            return {"set": len(wanted)}
        if "counters" in order:
            address = order["counters"]
            counters = self.hosts[str(address)].counters if address else self.totals()
            return dict(counters.as_dict())
        raise ValueError("an order holds `set` or `counters`")


def _raise_file_limit(needed: int) -> None:
    """Raises ValueError with what is needed when the limit cannot be raised so far."""
    wanted = needed + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        if hard < wanted:
            raise ValueError(
                f"{wanted} open files are needed, the limit is {hard}: ulimit -n {wanted}"
            ) from None


def _write_user_file(config: FleetConfig) -> None:
    """pyspnego's acceptor reads its accounts from a file that this variable names."""
    descriptor, path = tempfile.mkstemp(prefix="nms-simulator-")
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{config.domain}:{config.username}:{config.password}\n")
    os.environ["NTLM_USER_FILE"] = path


def remove_user_file() -> None:
    path = os.environ.pop("NTLM_USER_FILE", None)
    if path:
        Path(path).unlink(missing_ok=True)


def _tls_context(certificate: Certificate, client_ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "host.pem"
        file.write_text(certificate.pem + certificate.key_pem)
        context.load_cert_chain(file)
    if client_ca:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=client_ca)
    return context
