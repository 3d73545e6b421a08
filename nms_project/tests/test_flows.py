"""Flows over all apps in a live installation: from nothing to a metric, and through outages."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from nms_project.stack.live import ROOT, LiveStack, live_stack, wait_until
from plugins.lab.snmp_agent import PORT as SNMP_PORT
from plugins.lab.snmp_agent import Agent
from plugins.lab.ssh_server import PORT as SSH_PORT
from plugins.lab.ssh_server import USER as SSH_USER
from plugins.lab.ssh_server import Server
from plugins.winrm.simulator.client import Simulator
from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HOST_PASSWORD = "s3cret-of-the-flow-hosts"
CREDENTIAL = {
    "name": "flow",
    "protocol": "winrm",
    "payload": {"username": "monitor", "password": HOST_PASSWORD},
}
SAMPLES = "SELECT count(*) FROM metrics_sample"
VERDICTS = "SELECT count(*) FROM polling_verdict"
DOUBLED = (
    "SELECT count(*) FROM (SELECT 1 FROM metrics_sample GROUP BY device_id, due_at HAVING count(*) > 1) two"
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    config = FleetConfig(network="127.60.1.0/24", count=30, password=HOST_PASSWORD, latency_seconds=0.05)
    with Simulator(config) as running:
        yield running


@pytest.fixture(scope="module")
def stack(simulator: Simulator) -> Iterator[LiveStack]:
    with live_stack() as running:
        running.run(
            "web", "beat", "worker control ping discovery", "worker store", "worker poll.0", "worker poll.1"
        )
        yield running


@pytest.fixture(autouse=True)
def _clean(stack: LiveStack, simulator: Simulator) -> Iterator[None]:
    """No device, no profile, no fault, and nothing in flight is left to the next test."""
    yield
    simulator.set_faults(dict.fromkeys(simulator.config.addresses(), Fault.NONE))
    for kind in ("devices", "discovery_profiles", "credentials"):
        for row in list(stack.client.every(kind)):
            answer = stack.client.session.delete(
                f"{stack.client.base_url}/api/v1/{kind}/{row['id']}", timeout=30
            )
            assert answer.status_code == 204, answer.text
    stack.sql("TRUNCATE polling_verdict, metrics_sample")


def walk(stack: LiveStack, heading: str) -> dict[str, Any]:
    """Runs the program below `heading` of docs/api.md on this installation; what it leaves behind."""
    text = (ROOT / "docs" / "api.md").read_text().split(heading)[1]
    program = text.split("```python\n")[1].split("```")[0]
    for documented, here in (
        ("http://localhost:8000", stack.client.base_url),
        ("10.1.0.0/24, !10.1.0.1", "127.60.1.1-20"),
        ('"password": "…"', f'"password": "{HOST_PASSWORD}"'),
    ):
        assert documented in program
        program = program.replace(documented, here)
    left: dict[str, Any] = {"password": stack.password}
    exec(compile(program, heading, "exec"), left)
    return left


def test_from_nothing_to_a_metric_with_requests_alone(stack: LiveStack) -> None:
    left = walk(stack, "## From nothing to a metric")
    left["api"].close()
    run = left["run"]
    assert (run["total"], run["found"], run["created"], run["failed"]) == (20, 20, 20, 0)
    ids = [device["id"] for device in left["devices"]]

    def totals() -> list[Any]:
        answer = stack.client.post("metrics", {"device_ids": ids, "path": "cpu.total"})
        return [series["results"][0]["value"] for series in answer if series["results"]]

    wait_until(lambda: len(totals()) == 20, 40)
    assert all(0 <= value <= 100 for value in totals())


def test_from_nothing_to_a_metric_with_a_generated_client(
    stack: LiveStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    description = tmp_path / "schema.json"
    schema = requests.get(f"{stack.client.base_url}/api/v1/schema?format=json", timeout=30)
    description.write_bytes(schema.content)
    generator = str(Path(sys.executable).with_name("openapi-python-client"))
    where = ("--path", str(description), "--output-path", str(tmp_path / "nms_client"))
    made = subprocess.run([generator, "generate", "--meta", "none", *where], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    # Tables as CSV are for other tools: the generator knows JSON, which is taken as well.
    unknown = made.stderr.count("Unsupported content type text/csv")
    assert made.stderr.count("WARNING parsing") == unknown == 3, made.stderr
    monkeypatch.syspath_prepend(tmp_path)
    left = walk(stack, "### With a client made from the description")
    left["api"].get_httpx_client().close()
    assert (left["run"].status.value, left["run"].found) == ("done", 20)
    assert sorted(series.device_id for series in left["answer"]) == sorted(one.id for one in left["devices"])
    assert len(left["devices"]) == 20


def test_a_device_deleted_while_its_poll_is_in_flight(stack: LiveStack, simulator: Simulator) -> None:
    address, other = simulator.config.addresses()[:2]
    simulator.set_faults({address: Fault.HANG})
    before = simulator.counters(address)["requests"]
    device_id, _ = stack.add_devices(CREDENTIAL, [address, other])
    wait_until(lambda: simulator.counters(address)["requests"] > before, 20)
    stack.client.session.delete(f"{stack.client.base_url}/api/v1/devices/{device_id}", timeout=9)
    wait_until(lambda: stack.count(SAMPLES) >= 2, 30)
    assert stack.count(f"{VERDICTS} WHERE device_id = %s", device_id) == 0


def test_a_dead_host_is_deactivated_and_comes_back_by_provisioning(
    stack: LiveStack, simulator: Simulator
) -> None:
    address = simulator.config.addresses()[0]
    simulator.set_faults({address: Fault.GONE})
    (device_id,) = stack.add_devices(CREDENTIAL, [address])

    def status() -> str:
        return str(stack.client.get(f"devices/{device_id}")["status"])

    wait_until(lambda: status() == "inactive", 60)
    shown = stack.client.get(f"devices/{device_id}")
    assert "nothing listens" in shown["status_reason"]
    assert shown["next_poll_at"] is None
    assert stack.count(f"{VERDICTS} WHERE kind = 'poll_failed'") == 3
    simulator.set_faults({address: Fault.NONE})
    stack.client.post(f"devices/{device_id}/provision", {})
    wait_until(lambda: stack.count(SAMPLES) >= 1, 30)
    assert status() == "active"


def test_redis_emptied_polling_goes_on(stack: LiveStack, simulator: Simulator) -> None:
    ids = stack.add_devices(CREDENTIAL, simulator.config.addresses()[:10])
    wait_until(lambda: stack.count(SAMPLES) >= 10, 40)
    stack.broker().flushall()
    stored = stack.count(SAMPLES)
    wait_until(lambda: stack.count(SAMPLES) >= stored + 10, 60)
    assert stack.count(DOUBLED) == 0
    assert stack.count("SELECT count(*) FROM devices_device WHERE status = 'active'") == len(ids)


def test_redis_that_refuses_to_write_ends_nobody(stack: LiveStack, simulator: Simulator) -> None:
    """As it does while its disk or its memory is full; here it wants a replica that there is not."""
    stack.add_devices(CREDENTIAL, simulator.config.addresses()[:10])
    wait_until(lambda: stack.count(SAMPLES) >= 10, 40)
    stack.broker().config_set("min-replicas-to-write", 1)
    try:
        time.sleep(10)  # each worker and the beat are refused a few times
        body = {"username": "nobody", "password": "wrong"}
        answer = requests.post(f"{stack.client.base_url}/login", json=body, timeout=30)
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
        assert stack.client.get("devices")["count"] == 10
    finally:
        stack.broker().config_set("min-replicas-to-write", 0)
    assert [name for name, process in stack.processes.items() if process.poll() is not None] == []
    stored = stack.count(SAMPLES)
    wait_until(lambda: stack.count(SAMPLES) >= stored + 20, 60)
    assert stack.count(DOUBLED) == 0


def test_postgresql_stopped_for_30_seconds_loses_no_sample_taken(
    stack: LiveStack, simulator: Simulator
) -> None:
    before = simulator.polls()
    stack.add_devices(CREDENTIAL, simulator.config.addresses())
    wait_until(lambda: stack.count(SAMPLES) >= 20, 40)
    stack.postgres.stop()
    time.sleep(30)
    stack.postgres.start()
    taken = simulator.polls() - before
    wait_until(lambda: stack.count(SAMPLES) >= taken, 60)
    after = stack.count(SAMPLES)
    wait_until(lambda: stack.count(SAMPLES) >= after + 20, 60)


def test_a_credential_is_tried_and_the_reason_told_in_words(stack: LiveStack, simulator: Simulator) -> None:
    good, wrong, forbidden, broken, gone = simulator.config.addresses()[:5]
    simulator.set_faults(
        {
            wrong: Fault.WRONG_PASSWORD,
            forbidden: Fault.ACCESS_DENIED,
            broken: Fault.NON_JSON,
            gone: Fault.GONE,
        }
    )
    secret = {"username": "monitor", "password": HOST_PASSWORD, "collect": "powershell"}
    plain, tls = (
        stack.client.post("credentials", {"name": name, "protocol": "winrm", "payload": {**secret, **more}})
        for name, more in (("plain", {}), ("TLS", {"scheme": "https"}))
    )

    def tried(target: str, credential: Any = plain) -> str:
        answer = stack.client.post(f"credentials/{credential['id']}/test", {"target": target})
        return f"{answer['error_code'] or 'ok'}: {answer['message']}"

    assert tried(good) == "ok: the login works, and the target answers"
    for target, words in (
        (wrong, "auth: the host refused the login"),
        (forbidden, "auth: access denied: the login is right, the account lacks rights"),
        (broken, "script: the script's output is not JSON"),
        (gone, "refused: nothing listens on the port"),
        ("no-such-host.invalid", "unreachable: the name does not resolve (DNS)"),
    ):
        assert tried(target).startswith(words), tried(target)
    assert tried(good, tls).startswith("protocol: TLS failed")


def test_snmp_and_ssh_from_discovery_to_a_metric(stack: LiveStack) -> None:
    with Agent("127.60.2.1", name="router-1") as agent, Server("127.60.2.2") as server:
        snmp = stack.client.post(
            "credentials", {"name": "snmp", "protocol": "snmp", "payload": {"community": "public"}}
        )
        wrong = stack.client.post(
            "credentials", {"name": "other", "protocol": "snmp", "payload": {"community": "wrong"}}
        )
        ssh = stack.client.post(
            "credentials",
            {
                "name": "ssh",
                "protocol": "ssh",
                "payload": {
                    "username": SSH_USER,
                    "private_key": server.key,
                    "host_key_policy": "trust_on_first_use",
                },
            },
        )
        common = {"auto_provision": True, "polling_interval_seconds": 10}
        for body in (
            {
                "name": "snmp",
                "target": agent.address,
                "port": SNMP_PORT,
                "credential_profile_id": wrong["id"],
                "fallback_credential_profile_ids": [snmp["id"]],
            },
            {"name": "ssh", "target": server.address, "port": SSH_PORT, "credential_profile_id": ssh["id"]},
        ):
            profile = stack.client.post("discovery_profiles", {**body, **common})
            stack.client.post(f"discovery_profiles/{profile['id']}/run", {})
        wait_until(lambda: stack.client.get("devices")["count"] == 2, 40)
        router, host = sorted(stack.client.every("devices"), key=lambda device: str(device["plugin_id"]))
        assert (router["hostname"], router["credential_profile_id"]) == ("router-1", snmp["id"])
        assert host["remembered"] == {"host_key": server.host_key}

        def values(path: str) -> list[Any]:
            query = {"device_ids": [router["id"], host["id"]], "path": path, "limit": 1}
            return [
                row["results"][0]["value"] for row in stack.client.post("metrics", query) if row["results"]
            ]

        wait_until(lambda: len(values("network.total.rx")) == 2, 60)
        assert all(value > 0 for value in values("memory.total"))
        logs = stack.logs()
        assert server.key.splitlines()[1] not in logs
