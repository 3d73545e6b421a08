"""The SNMP plugin against real net-snmp agents on several loopback addresses."""

import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from plugins.contract import Task
from plugins.lab.snmp_agent import PORT, USERS, Agent, Value
from plugins.registry import Registry, load
from plugins.tests.process import PLUGINS, batch, worker_number
from polling.runner import environment
from polling.stream import StreamRunner

pytestmark = pytest.mark.slow
PLUGIN = PLUGINS["snmp"]
AUTH, PRIV = "authentic-1", "private-12"
IF = "1.3.6.1.2.1.2.2.1"
IFX = "1.3.6.1.2.1.31.1.1.1"
STORAGE = "1.3.6.1.2.1.25.2.3.1"
TYPES = "1.3.6.1.2.1.25.2.1"


def address(number: int) -> str:
    return f"127.{70 + worker_number()}.1.{number}"


def task(target: str, *, name: str = "", timeout: float = 8, **credentials: Any) -> dict[str, Any]:
    return {
        "request_id": name or target,
        "target": target,
        "port": PORT,
        "timeout_seconds": timeout,
        "credentials": credentials or {"community": "public"},
    }


def user(name: str) -> dict[str, Any]:
    """The credential of one of the agents' users, from the words that created it."""
    words = USERS[name][0].split()
    credentials: dict[str, Any] = {"version": "3", "username": name}
    if words:
        credentials |= {"auth_protocol": words[0], "auth_password": AUTH}
    if len(words) > 2:
        priv = words[2].removesuffix("C").replace("AES1", "AES-1").replace("AES2", "AES-2")
        credentials |= {"priv_protocol": priv, "priv_password": PRIV}
        if words[2].endswith("C"):
            credentials["key_expansion"] = "cisco"
    return credentials


def interfaces(*, octets: int, high: int, speed: int = 6) -> dict[str, Value]:
    """A loopback, a card with 64-bit counters, a bridge over it, and an old card with 32 bits only."""
    names = {1: "lo", 2: "eth0", 3: "br0", 4: "old0"}
    kinds = {1: 24, 2: 6, 3: 209, 4: speed}
    values: dict[str, Value] = {}
    for index, name in names.items():
        values[f"{IF}.2.{index}"] = ("string", name)
        values[f"{IF}.3.{index}"] = ("integer", kinds[index])
        values[f"{IF}.5.{index}"] = ("gauge", 10_000_000)
        values[f"{IF}.10.{index}"] = ("counter", octets)
        values[f"{IF}.16.{index}"] = ("counter", octets)
        values[f"{IFX}.1.{index}"] = ("string", name)
        values[f"{IFX}.17.{index}"] = ("integer", 1 if name in ("eth0", "old0") else 2)
        if name != "old0":
            values[f"{IFX}.6.{index}"] = ("counter64", high)
            values[f"{IFX}.10.{index}"] = ("counter64", high)
    return values


def storages(size: int, used: int) -> dict[str, Value]:
    rows = {
        1: (f".{TYPES}.2", "Physical memory"),
        31: (f".{TYPES}.4", "/"),
        32: (f".{TYPES}.4", "/sys/fs/cgroup"),
    }
    values: dict[str, Value] = {}
    for index, (kind, name) in rows.items():
        values[f"{STORAGE}.2.{index}"] = ("objectid", kind)
        values[f"{STORAGE}.3.{index}"] = ("string", name)
        values[f"{STORAGE}.4.{index}"] = ("integer", 4096)
        values[f"{STORAGE}.5.{index}"] = ("integer", size)
        values[f"{STORAGE}.6.{index}"] = ("integer", used)
    return values


@pytest.fixture(scope="module")
def agents() -> Iterator[list[Agent]]:
    with Agent(address(1), name="agent-1") as one, Agent(address(2), name="agent-2") as two:
        yield [one, two]


@pytest.fixture
def runner() -> Iterator[StreamRunner]:
    made = StreamRunner(PLUGIN, in_flight=600, silence_seconds=30)
    yield made
    made.close()


def polls(runner: StreamRunner, target: str, count: int = 1, **credentials: Any) -> list[Any]:
    secret = credentials or {"community": "public"}
    tasks = [Task(f"{target}#{number}", target, PORT, secret, 8) for number in range(count)]
    return [result for results in runner.run(tasks, start_within_seconds=5) for result in results]


def document(runner: StreamRunner, target: str) -> dict[str, Any]:
    (result,) = polls(runner, target)
    assert result.success, result.error
    found: dict[str, Any] = json.loads(result.data)
    return found


@pytest.mark.parametrize("version", ["1", "2c"])
def test_polls_several_agents_by_community(agents: list[Agent], version: str) -> None:
    results = batch(PLUGIN, [task(agent.address, version=version, community="public") for agent in agents])
    for agent in agents:
        result = results[agent.address]
        assert result["success"], result
        assert result["hostname"] == result["data"]["system"]["hostname"] == agent.name
        assert result["data"]["system"]["os"].startswith("Linux")
        memory = result["data"]["memory"]
        assert memory["total"] == memory["free"] + memory["used"] > 0
        # net-snmp leaves out the overlay that a container has for its root.
        assert "/" in result["data"].get("disk", {}).get("drives", {}) or root_type() == "overlay"


def root_type() -> str:
    """Return the type of this machine's root file system, such as ext4."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [words[2] for words in mounts if words[1] == "/"][-1]


def test_every_user_with_its_algorithms(agents: list[Agent]) -> None:
    target = agents[0].address
    results = batch(PLUGIN, [task(target, name=name, **user(name)) for name in USERS], secrets=[AUTH, PRIV])
    assert {name: result["success"] for name, result in results.items()} == dict.fromkeys(USERS, True)


def test_discovers_by_name(agents: list[Agent]) -> None:
    results = batch(PLUGIN, [task(agent.address) for agent in agents], "-discovery")
    assert [results[agent.address]["hostname"] for agent in agents] == ["agent-1", "agent-2"]


def test_what_goes_wrong_has_its_code_and_words(agents: list[Agent]) -> None:
    target, nobody = agents[0].address, address(9)
    tasks = [
        task(target, name="community", timeout=2, community="wrong"),
        task(target, name="user", **{**user("shaaes"), "username": "nobody"}),
        task(target, name="password", **{**user("shaaes"), "auth_password": "wrong-password"}),
        task(target, name="level", version="3", username="shaaes", auth_protocol="SHA", auth_password=AUTH),
        task(target, name="privacy", **{**user("shaaes"), "priv_password": "wrong-privacy"}),
        task(target, name="privacy protocol", **{**user("shaaes"), "priv_protocol": "DES"}),
        task(nobody, name="nobody", timeout=2),
        task("no-such-host.invalid", name="dns"),
        task(target, name="nothing", version="2c"),
        task(target, name="version", version="4", community="public"),
        task(target, name="short", version="3", username="u", priv_protocol="AES", priv_password=PRIV),
    ]
    results = batch(PLUGIN, tasks)
    found = {name: (result["error_code"], result["error"]) for name, result in results.items()}
    for name, code, words in (
        ("community", "timeout", "community is wrong"),
        ("user", "auth", "refused the login"),
        ("password", "auth", "refused the login"),
        ("level", "auth", "refused the login"),
        ("privacy", "auth", "priv_password"),
        ("privacy protocol", "auth", "priv_password"),
        ("nobody", "refused", "nothing listens on the port"),
        ("dns", "unreachable", "does not resolve (DNS)"),
        ("nothing", "internal", "community is needed"),
        ("version", "internal", "version must be one of"),
        ("short", "internal", "priv_protocol needs auth_protocol"),
    ):
        assert found[name][0] == code, found[name]
        assert words in found[name][1]


def test_rates_of_interfaces_with_wide_and_narrow_counters(runner: StreamRunner) -> None:
    with Agent(address(11), values=interfaces(octets=2**32 - 1_000, high=2**40)) as agent:
        assert "network" not in document(runner, agent.address)
        # The narrow counter wraps, the wide one goes on.
        agent.set_values(interfaces(octets=4_000, high=2**40 + 10_000))
        time.sleep(1)
        network = document(runner, agent.address)["network"]
    assert set(network["interfaces"]) == {"eth0", "br0", "old0"}
    assert 3_000 < network["interfaces"]["old0"]["rx"] <= 5_000
    assert 6_000 < network["interfaces"]["eth0"]["tx"] <= 10_000
    # What a bridge carries is not counted twice.
    total = sum(network["interfaces"][name]["rx"] for name in ("eth0", "old0"))
    assert network["total"]["rx"] == total


def test_version_1_has_narrow_counters_only(runner: StreamRunner) -> None:
    with Agent(address(12), values=interfaces(octets=0, high=2**40)) as agent:
        polls(runner, agent.address, version="1", community="public")
        agent.set_values(interfaces(octets=5_000, high=2**40))
        time.sleep(1)
        (result,) = polls(runner, agent.address, version="1", community="public")
    rates = json.loads(result.data)["network"]["interfaces"]["eth0"]
    assert 3_000 < rates["rx"] <= 5_000


def test_a_wide_counter_that_falls_was_reset(runner: StreamRunner) -> None:
    with Agent(address(13), values=interfaces(octets=0, high=2**40)) as agent:
        document(runner, agent.address)
        agent.set_values(interfaces(octets=1_000, high=5))
        time.sleep(1)
        assert set(document(runner, agent.address)["network"]["interfaces"]) == {"old0"}


def test_an_agent_that_restarts_gives_one_document_without_rates(runner: StreamRunner) -> None:
    with Agent(address(14), values=interfaces(octets=2**32 - 10, high=2**40)) as agent:
        time.sleep(2)  # its uptime when it is first asked, which falls below that
        document(runner, agent.address)
        agent.stop()
        agent.set_values(interfaces(octets=10, high=10))
        agent.start()
        assert "network" not in document(runner, agent.address)
        time.sleep(1)
        assert set(document(runner, agent.address)["network"]["interfaces"]) == {"eth0", "br0", "old0"}


def test_an_agent_that_restarts_is_no_failed_login(runner: StreamRunner) -> None:
    with Agent(address(15), name="agent-15") as agent:
        (first,) = polls(runner, agent.address, **user("sha512aes256"))
        agent.stop()
        agent.start()
        (second,) = polls(runner, agent.address, **user("sha512aes256"))
    assert (first.success, second.success) == (True, True), second.error


def test_an_agent_that_was_set_up_anew_is_found_again(runner: StreamRunner) -> None:
    """With another engine id it drops what is for the old one: a time-out, once."""
    with Agent(address(21), name="agent-21") as agent:
        assert polls(runner, agent.address, **user("shaaes"))[0].success
        agent.stop()
        agent.rename("agent-21-anew")
        agent.start()
        results = [polls(runner, agent.address, **user("shaaes"))[0] for _ in range(2)]
    assert results[1].success, results[1].error


def test_a_table_with_holes_is_walked_once(runner: StreamRunner) -> None:
    """An interface without one of its counters is left out, not looked for at each poll."""
    values = interfaces(octets=0, high=0)
    del values[f"{IFX}.10.2"], values[f"{IF}.16.2"]
    with Agent(address(22), values=values) as agent:
        document(runner, agent.address)
        time.sleep(1.1)
        first = document(runner, agent.address)
        started = time.monotonic()
        document(runner, agent.address)
    assert set(first["network"]["interfaces"]) == {"br0", "old0"}
    assert time.monotonic() - started < 1


def test_interfaces_that_come_and_go(runner: StreamRunner) -> None:
    values = interfaces(octets=0, high=0)
    without = {oid: value for oid, value in values.items() if not oid.endswith(".3")}
    with Agent(address(16), values=values) as agent:
        document(runner, agent.address)
        agent.set_values(without)
        assert set(document(runner, agent.address)["network"]["interfaces"]) == {"eth0", "old0"}
        agent.set_values(values)
        runner_sees = document(runner, agent.address)["network"]["interfaces"]
    assert "eth0" in runner_sees


def test_disks_beyond_31_bits_and_pseudo_file_systems(runner: StreamRunner) -> None:
    """Agents of large disks let their Integer32 run over."""
    with Agent(address(17), values=storages(size=-1_000_000_000, used=500_000_000)) as agent:
        found = document(runner, agent.address)
    assert found["disk"]["drives"] == {
        "/": {"total": (2**32 - 1_000_000_000) * 4096, "free": (2**32 - 1_500_000_000) * 4096}
    }
    assert found["memory"]["used"] == 500_000_000 * 4096


def test_a_switch_with_many_interfaces(runner: StreamRunner) -> None:
    """More than one request holds, and names as long as they may be."""
    values: dict[str, Value] = {}
    for index in range(1, 201):
        values[f"{IF}.2.{index}"] = ("string", f"{index:04}" + "x" * 250)
        values[f"{IF}.3.{index}"] = ("integer", 6)
        values[f"{IFX}.6.{index}"] = ("counter64", index)
        values[f"{IFX}.10.{index}"] = ("counter64", index)
    with Agent(address(18), values=values) as agent:
        document(runner, agent.address)
        time.sleep(1)
        assert len(document(runner, agent.address)["network"]["interfaces"]) == 200


def test_hundreds_of_targets_at_once_and_silent_ones_delay_nobody(
    agents: list[Agent], runner: StreamRunner
) -> None:
    secret = {"community": "public"}
    answering = [Task(f"ok{number}", agents[number % 2].address, PORT, secret, 8) for number in range(300)]
    silent = [Task(f"silent{number}", address(20 + number), PORT, secret, 3) for number in range(200)]
    started = time.monotonic()
    arrived: dict[str, float] = {}
    for results in runner.run([*silent, *answering], start_within_seconds=5):
        for result in results:
            arrived[result.request_id] = time.monotonic() - started
            assert result.success == result.request_id.startswith("ok"), result.error
    assert len(arrived) == 500
    assert max(at for name, at in arrived.items() if name.startswith("ok")) < 6
    assert max(arrived.values()) < 3 + 1 + 1.5  # the deadline, one second, and the hand-over's


def test_a_lost_datagram_is_asked_for_again(agents: list[Agent]) -> None:
    """A relay that swallows every first request of two."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as relay:
        relay.bind((address(19), PORT))
        relay.settimeout(0.2)
        stop = threading.Event()
        thread = threading.Thread(target=_relay_half, args=(relay, agents[0].address, stop))
        thread.start()
        results = batch(PLUGIN, [task(address(19), timeout=8)], "-discovery")
        stop.set()
        thread.join()
    assert results[address(19)]["hostname"] == "agent-1"


def _relay_half(relay: socket.socket, target: str, stop: threading.Event) -> None:
    count = 0
    while not stop.is_set():
        try:
            request, client = relay.recvfrom(65_535)
        except TimeoutError:
            continue
        count += 1
        if count % 2:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as onward:
            onward.settimeout(2)
            onward.sendto(request, (target, PORT))
            relay.sendto(onward.recv(65_535), client)


def test_nonsense_instead_of_answers(runner: StreamRunner) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.bind((address(30), PORT))
        liar.settimeout(0.2)
        stop = threading.Event()
        thread = threading.Thread(target=_lie, args=(liar, stop))
        thread.start()
        (result,) = polls(runner, address(30))
        stop.set()
        thread.join()
    assert result.error_code == "protocol"
    assert "not SNMP" in result.error


def _lie(liar: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        with suppress(TimeoutError):
            liar.sendto(b"HTTP/1.1 400 Bad Request\r\n", liar.recvfrom(65_535)[1])


def test_ends_by_sigterm_with_tasks_under_way() -> None:
    assert PLUGIN.executable
    with subprocess.Popen(
        [str(PLUGIN.executable), "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin
        process.stdin.write(json.dumps(task(address(31))).encode() + b"\n")
        process.stdin.flush()
        time.sleep(1.5)
        process.terminate()
        assert process.wait(5) == 0


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({}, "missing community"),
        ({"version": "3"}, "missing username"),
        ({"version": "3", "username": "u", "auth_protocol": "SHA"}, "auth_password"),
        ({"community": "c", "version": "2"}, "must be one of 1, 2c, 3"),
        (
            {"version": "3", "username": "u", "auth_protocol": "SHA", "auth_password": "short"},
            "auth_password",
        ),
    ],
)
def test_payloads_that_cannot_work_are_refused_by_the_schema(payload: dict[str, Any], words: str) -> None:
    errors = PLUGIN.credential_errors(payload)
    assert errors
    assert words in " ".join(errors), errors


def test_the_registry_has_it() -> None:
    assert PLUGIN.executable
    registry: Registry = load(PLUGIN.executable.parents[1])
    assert registry.plugins["snmp"].default_port == 161
