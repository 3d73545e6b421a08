"""What every plugin must survive: a killed host, being held up itself, a machine without network."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from plugins.tests.process import PLUGINS, without_network, worker_number
from polling.runner import environment

pytestmark = pytest.mark.slow
CREDENTIALS: dict[str, dict[str, Any]] = {
    "snmp": {"version": "2c", "community": "public"},
    "ssh": {"username": "monitor", "password": "p", "host_key_policy": "trust_on_first_use"},
    "winrm": {"username": "monitor", "password": "p"},
}
Process = subprocess.Popen[bytes]


@contextmanager
def stream(plugin_id: str) -> Iterator[Process]:
    """The plugin in stream mode, once it answers."""
    executable = PLUGINS[plugin_id].executable
    with subprocess.Popen(
        [str(executable), "--stream"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        try:
            send(process, {})
            assert process.stdout
            assert process.stdout.readline()
            yield process
        finally:
            process.kill()


def send(process: Process, task: dict[str, Any]) -> None:
    assert process.stdin
    process.stdin.write(json.dumps(task).encode() + b"\n")
    process.stdin.flush()


@contextmanager
def silent_task(plugin_id: str, *, timeout: float) -> Iterator[dict[str, Any]]:
    """A task for a host that takes what is sent and never answers."""
    address = f"127.{120 + worker_number()}.1.1"
    kind = socket.SOCK_DGRAM if plugin_id == "snmp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as silent:
        silent.bind((address, 0))
        if kind == socket.SOCK_STREAM:
            silent.listen()
        yield {
            "request_id": "1",
            "target": address,
            "port": silent.getsockname()[1],
            "credentials": CREDENTIALS[plugin_id],
            "timeout_seconds": timeout,
        }


@pytest.mark.parametrize("plugin_id", CREDENTIALS)
def test_a_plugin_that_was_stopped_does_not_blame_the_host(plugin_id: str) -> None:
    with silent_task(plugin_id, timeout=4) as task, stream(plugin_id) as process:
        assert process.stdout
        send(process, task)
        time.sleep(1)
        process.send_signal(signal.SIGSTOP)
        time.sleep(4)
        process.send_signal(signal.SIGCONT)
        result = json.loads(process.stdout.readline())
    assert result["error_code"] == "internal"
    assert "held up" in result["error"]


@pytest.mark.parametrize("plugin_id", CREDENTIALS)
def test_a_silent_host_is_a_timeout(plugin_id: str) -> None:
    with silent_task(plugin_id, timeout=2) as task, stream(plugin_id) as process:
        assert process.stdout
        send(process, task)
        assert json.loads(process.stdout.readline())["error_code"] == "timeout"


@pytest.mark.parametrize("plugin_id", CREDENTIALS)
def test_a_plugin_ends_when_its_host_is_killed(plugin_id: str) -> None:
    """All three pipes break at once, while a task is under way."""
    with silent_task(plugin_id, timeout=60) as task, stream(plugin_id) as process:
        send(process, task)
        assert process.stdin
        os.write(process.stdin.fileno(), b"not JSON\n")  # which it says on stderr
        for pipe in (process.stdout, process.stderr, process.stdin):
            assert pipe
            pipe.close()
        assert process.wait(20) == 0


@pytest.mark.parametrize("plugin_id", CREDENTIALS)
def test_a_machine_without_network_does_not_blame_the_host(plugin_id: str) -> None:
    task = {
        "request_id": "1",
        "target": "192.0.2.1",
        "port": 1,
        "credentials": CREDENTIALS[plugin_id],
        "timeout_seconds": 10,
    }
    done = subprocess.run(
        [*without_network(), str(PLUGINS[plugin_id].executable)],
        input=json.dumps([task]).encode(),
        capture_output=True,
        timeout=60,
        check=True,
        env=environment(),
    )
    (result,) = json.loads(done.stdout)
    assert result["error_code"] == "internal"
    assert "this machine cannot reach the network" in result["error"]
