"""Agents as they are met in the field: wrong, partial, old, huge and hostile."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from plugins.contract import Task
from plugins.lab.odd_snmp_agent import (
    AUTHORIZATION_ERROR,
    GEN_ERR,
    GET,
    GETBULK,
    Hook,
    OddAgent,
    counter32,
    counter64,
    gauge32,
    integer,
    octets,
    oid,
    ticks,
    tlv,
)
from plugins.tests.process import PLUGINS, batch, worker_number
from polling.stream import StreamRunner

pytestmark = pytest.mark.slow
PLUGIN = PLUGINS["snmp"]
IF, IFX, HR, UCD = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1", "1.3.6.1.2.1.25", "1.3.6.1.4.1.2021.4"
UPTIME, NAME = "1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.1.5.0"
PROCESSES = f"{HR}.1.6.0"
Values = dict[str, bytes]


def address(number: int) -> str:
    return f"127.{70 + worker_number()}.2.{number}"


def system(**changes: bytes) -> Values:
    """A name, an uptime, and a processor at 42 %."""
    return {UPTIME: ticks(8_640_000), NAME: octets("odd"), f"{HR}.3.3.1.2.1": integer(42)}


def disk(index: int, name: str, size: int, *, unit: int = 1024, used: int = 10) -> Values:
    row = f"{HR}.2.3.1"
    return {
        f"{row}.2.{index}": oid(f"{HR}.2.1.4"),
        f"{row}.3.{index}": octets(name),
        f"{row}.4.{index}": integer(unit),
        f"{row}.5.{index}": integer(size),
        f"{row}.6.{index}": integer(used),
    }


def interface(
    index: int, name: str, octets_: int, *, wide: tuple[int | None, int | None] = (None, None), speed: int = 0
) -> Values:
    values = {
        f"{IF}.3.{index}": integer(6),
        f"{IF}.5.{index}": gauge32(speed),
        f"{IF}.10.{index}": counter32(octets_),
        f"{IF}.16.{index}": counter32(octets_),
        f"{IFX}.1.{index}": octets(name),
    }
    for column, value in zip((6, 10), wide, strict=True):
        if value is not None:
            values[f"{IFX}.{column}.{index}"] = counter64(value)
    return values


def task(agent: OddAgent, *, name: str = "1", timeout: float = 20, **credentials: str) -> dict[str, Any]:
    return {
        "request_id": name,
        "target": agent.address,
        "port": agent.port,
        "timeout_seconds": timeout,
        "credentials": {"community": "public", **credentials},
    }


def poll(values: Mapping[str, bytes], *, timeout: float = 20, **agent: Any) -> dict[str, Any]:
    """The document of one poll."""
    with OddAgent(address(1), values, **agent) as odd:
        result = batch(PLUGIN, [task(odd, timeout=timeout)])["1"]
    assert result["success"], result
    document: dict[str, Any] = result["data"]
    return document


@contextmanager
def polled_twice(first: Values, second: Values) -> Iterator[dict[str, Any]]:
    """The interfaces of the second of two polls."""
    runner = StreamRunner(PLUGIN, in_flight=10, silence_seconds=30)
    try:
        with OddAgent(address(2), first) as agent:
            _document(runner, agent)
            time.sleep(1.5)
            agent.values = dict(second)
            yield _document(runner, agent).get("network", {}).get("interfaces", {})
    finally:
        runner.close()


def _document(runner: StreamRunner, agent: OddAgent) -> dict[str, Any]:
    one = Task("1", agent.address, agent.port, {"community": "public"}, 10)
    ((result,),) = runner.run([one], start_within_seconds=5)
    assert result.success, result.error
    found: dict[str, Any] = json.loads(result.data or "{}")
    return found


# --- answers that are not SNMP ----------------------------------------------------------------------

MALFORMED = {
    "two bytes": bytes.fromhex("3082"),
    "an empty pair": tlv(
        0x30, integer(1) + octets("public") + tlv(0xA2, b"\x02\x01\x01" * 3 + b"\x30\x02\x30\x00")
    ),
    "nothing": b"",
    "text": b"HTTP/1.1 400 Bad Request\r\n",
    "a length of gigabytes": bytes.fromhex("3084ffffffff0201"),
    "deep nesting": b"\x30\x80" * 500,
    "large": b"\x30" * 60_000,
}


@pytest.mark.parametrize("kind", MALFORMED)
@pytest.mark.parametrize("version", ["1", "2c", "3"])
def test_a_malformed_answer_costs_only_its_own_device(kind: str, version: str) -> None:
    secret = {"version": version, **({"username": "monitor"} if version == "3" else {})}
    with OddAgent(address(3), reply=MALFORMED[kind]) as bad, OddAgent(address(4), system()) as good:
        tasks = [task(bad, name="bad", timeout=4, **secret), task(good, name="good")]
        results = batch(PLUGIN, tasks)
    assert results["good"]["success"], results["good"]
    assert results["bad"]["error_code"] in ("protocol", "timeout"), results["bad"]


def test_a_flood_of_foreign_answers_ends_with_the_tasks_time() -> None:
    """Each of them would begin gufo-snmp's time-out anew."""
    foreign = tlv(
        0x30, integer(1) + octets("public") + tlv(0xA2, integer(7) + integer(0) * 2 + tlv(0x30, b""))
    )
    stop = threading.Event()

    def flood(server: socket.socket) -> None:
        _, peer = server.recvfrom(65_535)
        while not stop.is_set():
            server.sendto(foreign, peer)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, OddAgent(address(6), system()) as good:
        server.bind((address(5), 0))
        thread = threading.Thread(target=flood, args=(server,))
        thread.start()
        bad = {**task(good, name="bad", timeout=4), "target": address(5), "port": server.getsockname()[1]}
        results = batch(PLUGIN, [bad, task(good, name="good")])
        stop.set()
        thread.join()
    assert results["bad"]["error_code"] == "timeout"
    assert results["bad"]["duration_ms"] < 5_000
    assert results["good"]["success"]


# --- agents that cannot do everything ---------------------------------------------------------------


def refuse_bulk(kind: int, oids: object) -> int | None:
    return GEN_ERR if kind == GETBULK else None


def drop_bulk(kind: int, oids: object) -> str | None:
    return "drop" if kind == GETBULK else None


@pytest.mark.parametrize("hook", [refuse_bulk, drop_bulk])
def test_an_agent_without_getbulk_has_its_tables_read_by_getnext(hook: Hook) -> None:
    document = poll({**system(), **disk(1, "/", 1_000)}, hook=hook, timeout=30)
    assert document["cpu"]["total"] == 42
    assert "/" in document["disk"]["drives"]


@pytest.mark.parametrize("limit", [24, 6])
def test_an_agent_that_drops_large_requests_is_asked_for_fewer_objects(limit: int) -> None:
    values = {**system(), **interface(1, "a", 1)}
    for index in range(2, 22):
        values |= interface(index, f"port {index}", 1)

    def hook(kind: int, oids: Any) -> str | None:
        return "drop" if kind == GET and len(oids) > limit else None

    assert poll(values, hook=hook, timeout=60)["cpu"]["total"] == 42


@pytest.mark.parametrize("status", [GEN_ERR, AUTHORIZATION_ERROR])
def test_an_object_that_may_not_be_read_costs_only_itself(status: int) -> None:
    def hook(kind: int, oids: Any) -> int | None:
        return status if kind == GET and PROCESSES in oids else None

    document = poll({**system(), **disk(1, "/", 1_000), PROCESSES: integer(9)}, hook=hook)
    assert document["cpu"]["total"] == 42
    assert "/" in document["disk"]["drives"]
    assert "processes" not in document["system"]


def test_a_value_that_cannot_be_decoded_costs_only_itself() -> None:
    document = poll({**system(), PROCESSES: tlv(0x45, b"\x01"), **disk(1, "/", 1_000)})
    assert document["cpu"]["total"] == 42
    assert "/" in document["disk"]["drives"]


def test_a_circular_table_costs_only_itself() -> None:
    values = {**system(), **interface(1, "a", 1), **interface(2, "b", 1), **disk(1, "/", 1_000)}
    types = [f"{IF}.3.1", f"{IF}.3.2"]

    class Circular(OddAgent):
        def _next(self, one: tuple[int, ...]) -> tuple[int, ...] | None:
            following = super()._next(one)
            last = tuple(map(int, types[-1].split(".")))
            return tuple(map(int, types[0].split("."))) if one == last else following

    with Circular(address(7), values) as agent:
        result = batch(PLUGIN, [task(agent)])["1"]
    assert result["success"], result
    assert result["data"]["cpu"]["total"] == 42
    assert "/" in result["data"]["disk"]["drives"]


def test_a_table_of_6000_rows_costs_only_itself() -> None:
    values = {**system(), **disk(1, "/", 1_000)}
    values |= {f"{IF}.3.{index}": integer(23) for index in range(1, 6_001)}
    document = poll(values, timeout=60)
    assert document["cpu"]["total"] == 42
    assert "/" in document["disk"]["drives"]


def test_an_agent_that_answers_from_its_other_address() -> None:
    assert poll(system(), answers_from=address(9))["cpu"]["total"] == 42


@pytest.mark.parametrize("name", [b"", None])
def test_an_agent_without_a_name_is_discovered_by_its_address(name: bytes | None) -> None:
    values = system()
    if name is None:
        del values[NAME]
    else:
        values[NAME] = tlv(0x04, name)
    with OddAgent(address(8), values) as agent:
        result = batch(PLUGIN, [task(agent)], "-discovery")["1"]
    assert (result["success"], result["hostname"]) == (True, address(8))


# --- values -----------------------------------------------------------------------------------------


def test_memory_beyond_2_tib() -> None:
    kib = 3_170_303_048
    narrow = {f"{UCD}.5.0": integer(kib - 2**32), f"{UCD}.6.0": integer(1_000_000)}
    wide = {f"{UCD}.20.0": counter64(kib), f"{UCD}.21.0": counter64(1_000_000)}
    for values in (narrow, narrow | wide):
        memory = poll({**system(), **values})["memory"]
        assert (memory["total"], memory["free"]) == (kib * 1024, 1_000_000 * 1024)


def test_folders_are_left_out_by_whole_names() -> None:
    values = {
        **system(),
        **disk(1, "/devel", 5_000),
        **disk(2, "/dev/shm", 5_000),
        **disk(3, "/runner", 5_000),
    }
    assert set(poll(values)["disk"]["drives"]) == {"/devel", "/runner"}


def test_disks_of_one_description_are_all_counted() -> None:
    values = {**system(), **disk(1, "Fixed Disk", 1_000), **disk(2, "Fixed Disk", 5_000)}
    found = poll(values)["disk"]
    assert found["total"]["size"] == 6_000 * 1024
    assert set(found["drives"]) == {"Fixed Disk", "Fixed Disk (2)"}


@pytest.mark.parametrize(
    ("engine_seconds", "host_ticks", "expected"),
    [
        (42_950_272, None, 42_950_272),  # wrapped once
        (600, None, 600),  # not wrapped
        (123_456_789, None, 600),  # an engine time that has nothing to do with the uptime
        (42_950_272, 70_000, 42_950_372),  # the host has been up for longer than its agent
    ],
)
def test_uptime_beyond_497_days(engine_seconds: int, host_ticks: int | None, expected: int) -> None:
    values = {**system(), UPTIME: ticks(60_000), "1.3.6.1.6.3.10.2.1.3.0": integer(engine_seconds)}
    if host_ticks is not None:
        values[f"{HR}.1.1.0"] = ticks(host_ticks)
    assert abs(poll(values)["system"]["uptime_seconds"] - expected) <= 1


@pytest.mark.parametrize("load", [-1, 101, 2**31 - 1])
def test_a_load_that_cannot_be_is_left_out(load: int) -> None:
    document = poll({**system(), f"{HR}.3.3.1.2.2": integer(load), PROCESSES: integer(-5)})
    assert document["cpu"] == {"total": 42.0, "0": 42.0}
    assert "processes" not in document["system"]


# --- counters ---------------------------------------------------------------------------------------

SLOW, FAST = 10_000_000, 4_294_967_295  # bit/s; the second says: more than this


@pytest.mark.parametrize(
    ("first", "second", "check"),
    [
        (  # cleared: no rate above what the link carries
            interface(1, "p", 1_000_000_000, speed=SLOW),
            interface(1, "p", 1_000, speed=SLOW),
            lambda found: found == {},
        ),
        (  # wrapped
            interface(1, "p", 2**32 - 1_000, speed=SLOW),
            interface(1, "p", 1_000, speed=SLOW),
            lambda found: 500 < found["p"]["rx"] <= 2_000,
        ),
        (  # a link faster than ifSpeed can say
            {**interface(1, "p", 2**32 - 1_000, speed=FAST), f"{IFX}.15.1": gauge32(10_000)},
            {**interface(1, "p", 1_000, speed=FAST), f"{IFX}.15.1": gauge32(10_000)},
            lambda found: 500 < found["p"]["rx"] <= 2_000,
        ),
        (  # 64-bit counters that stay at 0
            interface(1, "p", 1_000, wide=(0, 0)),
            interface(1, "p", 21_000, wide=(0, 0)),
            lambda found: found["p"]["rx"] > 5_000,
        ),
        (  # only one of them
            interface(1, "p", 1_000, wide=(1_000, None)),
            interface(1, "p", 21_000, wide=(21_000, None)),
            lambda found: found["p"]["tx"] > 5_000,
        ),
    ],
    ids=["cleared", "wrapped", "fast link", "wide stuck at 0", "wide half there"],
)
def test_counters(first: Values, second: Values, check: Callable[[dict[str, Any]], bool]) -> None:
    with polled_twice({**system(), **first}, {**system(), **second}) as found:
        assert check(found), found
