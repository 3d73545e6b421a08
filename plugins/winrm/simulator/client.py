"""Starts a simulator in a process of its own and steers it: for tests, demo and benchmarks."""

import json
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault

ROOT = Path(__file__).resolve().parents[3]
START_SECONDS = 60.0


class Simulator:
    """A context manager; the hosts listen inside the block."""

    def __init__(self, config: FleetConfig, *, command_prefix: tuple[str, ...] = ()) -> None:
        self.config = config
        self.command_prefix = command_prefix  # for example ("taskset", "-c", "0")
        self.certificate = ""  # PEM, of hosts with TLS
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101 (used inside the block)
        return self._process.pid

    def __enter__(self) -> "Simulator":
        self._process = subprocess.Popen(
            [*self.command_prefix, sys.executable, "-m", "plugins.winrm.simulator"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )
        assert self._process.stdin  # noqa: S101 (started with pipes)
        assert self._process.stdout  # noqa: S101
        self._process.stdin.write(json.dumps(asdict(self.config)).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.stdin.close()
            raise RuntimeError(f"the simulator did not start (exit code {self._process.wait(10)})")
        started = json.loads(line)
        self.certificate = started["certificate"]
        self._control = socket.create_connection(
            (self.config.control, started["control_port"]), timeout=START_SECONDS
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._control:
            self._control.close()
        if self._process and self._process.stdin and self._process.stdout:
            self._process.stdin.close()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()

    def set_faults(self, faults: dict[str, Fault]) -> None:
        self._order({"set": {address: fault.value for address, fault in faults.items()}})

    def counters(self, address: str | None = None) -> dict[str, int]:
        answer: dict[str, int] = self._order({"counters": address})
        return answer

    def polls(self, address: str | None = None) -> int:
        """How often a host, or all of them, was polled by a resident PowerShell: a new one is asked twice at
        first.
        """
        counters = self.counters(address)
        return counters["questions"] - counters["processes"]

    def _order(self, order: dict[str, Any]) -> Any:
        assert self._control is not None  # noqa: S101 (used inside the block)
        self._control.sendall(json.dumps(order).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            chunk = self._control.recv(65_536)
            if not chunk:
                raise RuntimeError("the simulator ended")
            answer += chunk
        found = json.loads(answer)
        if "error" in found:
            raise RuntimeError(f"the simulator refused: {found['error']}")
        return found
