"""The SSH plugin against real OpenSSH servers."""

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
from plugins.lab.ssh_server import HUNG_DF_SECONDS, IS_ROOT, PASSWORD, PORT, USER, Server
from plugins.tests.process import PLUGINS, batch, worker_number
from polling.runner import environment
from polling.stream import StreamRunner

pytestmark = pytest.mark.slow
PLUGIN = PLUGINS["ssh"]
FIRST_USE = "trust_on_first_use"
needs_root = pytest.mark.skipif(
    not IS_ROOT, reason="OpenSSH checks passwords and changes accounts as root only"
)


def address(number: int) -> str:
    return f"127.{90 + worker_number()}.1.{number}"


def task(
    target: str, *, name: str = "", timeout: float = 30, remembered: Any = None, **secret: Any
) -> dict[str, Any]:
    return {
        "request_id": name or target,
        "target": target,
        "port": PORT,
        "timeout_seconds": timeout,
        "credentials": {"username": USER, "host_key_policy": FIRST_USE, **secret},
        "remembered": remembered or {},
    }


def ssh_batch(tasks: list[dict[str, Any]], *arguments: str) -> dict[str, dict[str, Any]]:
    return batch(PLUGIN, tasks, *arguments, secrets=[PASSWORD, "a passphrase", "PRIVATE KEY"])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(address(1)) as running:
        yield running


@pytest.fixture
def runner() -> Iterator[StreamRunner]:
    made = StreamRunner(PLUGIN, in_flight=600, silence_seconds=30)
    yield made
    made.close()


def polls(
    runner: StreamRunner, server: Server, count: int = 1, remembered: Any = None, **secret: Any
) -> list[Any]:
    credentials = {"username": USER, "host_key_policy": FIRST_USE, "private_key": server.key, **secret}
    tasks = [
        Task(str(number), server.address, PORT, credentials, 30, remembered=remembered or {})
        for number in range(count)
    ]
    return [result for results in runner.run(tasks, start_within_seconds=5) for result in results]


def check_document(document: dict[str, Any]) -> None:
    assert set(document) == {"cpu", "memory", "disk", "network", "system"}
    assert {"total", "0"} <= set(document["cpu"])
    assert all(0 <= load <= 100 for load in document["cpu"].values())
    memory = document["memory"]
    assert memory["total"] == memory["free"] + memory["used"] > 0
    assert document["disk"]["drives"]["/"]["total"] > 0
    assert "lo" not in document["network"]["interfaces"]
    assert document["system"]["uptime_seconds"] > 0
    assert document["system"]["processes"] > 0


def test_a_key_with_and_without_a_passphrase(server: Server) -> None:
    tasks = [
        task(server.address, name="open", private_key=server.key),
        task(server.address, name="locked", private_key=server.passphrase_key, passphrase="a passphrase"),
    ]
    results = ssh_batch(tasks)
    for result in results.values():
        assert result["success"], result
        check_document(result["data"])
        assert result["hostname"] == result["data"]["system"]["hostname"] == socket.gethostname()


@needs_root
def test_a_password(server: Server) -> None:
    result = ssh_batch([task(server.address, password=PASSWORD)])[server.address]
    assert result["success"], result
    check_document(result["data"])


@needs_root
@pytest.mark.parametrize("account", ["busy", "noisy"])
def test_shells_of_all_kinds(server: Server, account: str) -> None:
    """busybox with nothing else on its path, and a login that prints words of its own."""
    result = ssh_batch([task(server.address, username=account, password=PASSWORD)])[server.address]
    assert result["success"], result
    check_document(result["data"])


def test_discovers_by_host_name(server: Server) -> None:
    result = ssh_batch([task(server.address, private_key=server.key)], "-discovery")[server.address]
    assert result["hostname"] == socket.gethostname()
    assert result["remember"] == {"host_key": server.host_key}


def test_a_key_is_not_trusted_unless_known_or_by_choice(server: Server) -> None:
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJbHfXrKvnfvFpRtdG3TvKOuwTxoYAvvOSGI7ZKGnwhj"
    secret: dict[str, Any] = {"private_key": server.key}
    strict: dict[str, Any] = {**secret, "host_key_policy": "strict"}
    tasks = [
        task(server.address, name="unknown", **strict),
        task(server.address, name="known", **strict, known_hosts=server.known_hosts()),
        task(
            server.address,
            name="another is known",
            **strict,
            known_hosts=f"[{server.address}]:{PORT} {other}",
        ),
        task(server.address, name="remembered", **strict, remembered={"host_key": server.host_key}),
        task(server.address, name="first use", **secret),
        task(server.address, name="seen before", **secret, remembered={"host_key": server.host_key}),
        task(server.address, name="changed", **secret, remembered={"host_key": other}),
        task(server.address, name="known wins", **secret, known_hosts=f"[{server.address}]:{PORT} {other}"),
    ]
    results = {name: result for task in tasks for name, result in ssh_batch([task]).items()}
    assert {name for name, result in results.items() if result["success"]} == {
        "known",
        "remembered",
        "first use",
        "seen before",
    }
    assert results["first use"]["remember"] == {"host_key": server.host_key}
    assert "remember" not in results["seen before"]
    assert results["unknown"]["error_code"] == "protocol"
    assert "is not known" in results["unknown"]["error"]
    assert server.host_key in results["unknown"]["error"]
    assert "is not the known one" in results["changed"]["error"]


def test_a_host_that_is_not_trusted_is_sent_no_login(server: Server) -> None:
    """Checked before the login: with a wrong password it is the key that is refused."""
    result = ssh_batch([task(server.address, password="wrong", host_key_policy="strict")])[server.address]
    assert "is not known" in result["error"]


def test_a_kept_connection_is_not_used_once_another_key_is_to_be_trusted(
    server: Server, runner: StreamRunner
) -> None:
    (first,) = polls(runner, server)
    assert first.remember == {"host_key": server.host_key}
    (second,) = polls(runner, server, remembered={"host_key": first.remember["host_key"]})
    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJbHfXrKvnfvFpRtdG3TvKOuwTxoYAvvOSGI7ZKGnwhj"
    (third,) = polls(runner, server, remembered={"host_key": other})
    assert (first.success, second.success, third.success) == (True, True, False)


def test_what_goes_wrong_has_its_code_and_words(server: Server) -> None:
    secret: dict[str, Any] = {"private_key": server.key}
    tasks = [
        task(server.address, name="password", password="wrong"),
        task(server.address, name="user", **{**secret, "username": "nobody-here"}),
        task(server.address, name="passphrase", private_key=server.passphrase_key, passphrase="wrong"),
        task(server.address, name="key", private_key="nonsense"),
        task(server.address, name="nothing"),
        task(server.address, name="known", **secret, known_hosts="[::1 nonsense"),
        task(address(9), name="refused", **secret),
        task("no-such-host.invalid", name="dns", **secret),
    ]
    if IS_ROOT:
        tasks.append(task(server.address, name="shell", username="nobody2", password=PASSWORD))
        tasks.append(task(server.address, name="nologin", username="refused", password=PASSWORD))
    results = ssh_batch(tasks)
    expected = {
        "password": ("auth", "refused the login"),
        "user": ("auth", "refused the login"),
        "passphrase": ("internal", "private_key cannot be opened"),
        "key": ("internal", "private_key cannot be opened"),
        "nothing": ("internal", "password or private_key is needed"),
        "refused": ("refused", "nothing listens"),
        "dns": ("unreachable", "does not resolve (DNS)"),
        "shell": ("script", "exit code 1"),
        "nologin": ("script", "This account is currently not available."),
    }
    for name, (code, words) in expected.items():
        if name in results:
            assert results[name]["error_code"] == code, results[name]
            assert words in results[name]["error"]


def test_a_connection_is_kept_and_made_anew_when_it_was_lost(server: Server, runner: StreamRunner) -> None:
    (first,) = polls(runner, server)
    started = time.monotonic()
    (second,) = polls(runner, server)
    assert second.success
    assert second.duration_ms < first.duration_ms
    server.drop_connections()
    (third,) = polls(runner, server)
    assert third.success, third.error
    assert time.monotonic() - started < 8


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-nothing\r\n", b"220 mail server\r\n" * 3])
def test_a_silent_or_strange_host_ends_at_its_deadline_and_delays_nobody(
    server: Server, greeting: bytes
) -> None:
    with socket.create_server((address(40), PORT)) as listener:
        listener.settimeout(10)
        connections: list[socket.socket] = []

        def serve() -> None:
            connection, _ = listener.accept()
            connections.append(connection)
            connection.sendall(greeting)

        thread = threading.Thread(target=serve)
        thread.start()
        secret: dict[str, Any] = {"private_key": server.key}
        results = ssh_batch([task(address(40), timeout=2, **secret), task(server.address, **secret)])
        thread.join()
        for connection in connections:
            connection.close()
    assert results[server.address]["success"]
    strange = results[address(40)]
    assert strange["error_code"] in ("timeout", "protocol")
    assert strange["duration_ms"] < 3_000


def test_hundreds_of_targets_at_once(server: Server, runner: StreamRunner) -> None:
    """One server under many names: each host and credential has a connection of its own."""
    secret = {"username": USER, "host_key_policy": FIRST_USE, "private_key": server.key}
    tasks = [
        Task(str(number), server.address, PORT, {**secret, "passphrase": str(number)}, 60)
        for number in range(300)
    ]
    results = [result for found in runner.run(tasks, start_within_seconds=30) for result in found]
    assert [result.error for result in results if not result.success] == []
    assert len(results) == 300


def test_ends_by_sigterm_and_leaves_no_session(server: Server) -> None:
    assert PLUGIN.executable
    with subprocess.Popen(
        [str(PLUGIN.executable), "--stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(task(server.address, private_key=server.key)).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["success"]
        process.terminate()
        assert process.wait(5) == 0


@pytest.mark.parametrize(
    "payload",
    [{}, {"username": "u"}, {"password": "p"}, {"username": "u", "password": "p", "host_key_policy": "none"}],
)
def test_payloads_that_cannot_work_are_refused_by_the_schema(payload: dict[str, Any]) -> None:
    assert PLUGIN.credential_errors(payload)


def test_a_key_that_was_forgotten_is_learnt_anew_by_the_next_poll(
    server: Server, runner: StreamRunner
) -> None:
    """Also where the connection is kept that was made when the key was remembered."""
    told = {"host_key": server.host_key}
    for remembered, expected in ((told, {}), ({}, told), (told, {})):
        (result,) = polls(runner, server, remembered=remembered)
        assert result.remember == expected


def test_a_key_is_told_until_it_is_remembered(server: Server, runner: StreamRunner) -> None:
    """A result may be lost on its way, or a person have the device forget."""
    told = {"host_key": server.host_key}
    for remembered, expected in (({}, told), ({}, told), (told, {}), ({}, told)):
        (result,) = polls(runner, server, remembered=remembered)
        assert result.success, result.error
        assert result.remember == expected


def test_a_host_is_known_by_any_of_its_keys(server: Server) -> None:
    rsa = " ".join((server.folder / "host_rsa.pub").read_text().split()[:2])
    known = {"rsa": rsa, "ed25519": server.host_key}
    tasks = [
        task(
            server.address,
            name=kind,
            private_key=server.key,
            host_key_policy="strict",
            known_hosts=f"[{server.address}]:{PORT} {key}",
        )
        for kind, key in known.items()
    ]
    results = ssh_batch(tasks)
    assert [results[kind]["success"] for kind in known] == [True, True], results


def test_a_wrong_passphrase_holds_up_nobody(server: Server, runner: StreamRunner) -> None:
    """Opening a key is slow by design; one that cannot be opened is tried once."""
    started = time.monotonic()
    results = polls(runner, server, 200, private_key=server.passphrase_key, passphrase="wrong")
    assert {result.error_code for result in results} == {"internal"}
    assert time.monotonic() - started < 5


@needs_root
def test_a_shell_that_refuses_tells_no_host_name(server: Server) -> None:
    account: dict[str, Any] = {"username": "nobody2", "password": PASSWORD}
    result = ssh_batch([task(server.address, **account)], "-discovery")[server.address]
    assert (result["success"], result["error_code"]) == (False, "script")


@needs_root
def test_a_file_system_that_never_answers_costs_only_the_disks(server: Server, runner: StreamRunner) -> None:
    """And leaves no df on the host, however often it is polled."""
    secret = {"username": "hung", "host_key_policy": FIRST_USE, "password": PASSWORD}
    results = []
    for _ in range(3):
        ((result,),) = runner.run(
            [Task("1", server.address, PORT, secret, 8)],
            start_within_seconds=5,
        )
        assert result.success, result.error
        results.append(result)
    document = json.loads(results[-1].data or "{}")
    assert set(document) == {"cpu", "memory", "network", "system"}
    left = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists() and path.read_bytes() == b"sleep\0%d\0" % HUNG_DF_SECONDS
    ]
    assert left == []
    assert (results[-1].duration_ms or 0) < 1_500  # it is not asked again for a while


@pytest.mark.parametrize(
    ("greeting", "code", "words"),
    [
        (b"Exceeded MaxStartups\r\n", "quota", "Exceeded MaxStartups"),
        (b"Not allowed at this time\r\n", "quota", "Not allowed at this time"),
        (b"Bye: \x1b[31mmaintenance\r\n", "protocol", "Bye: [31mmaintenance"),
        (b"", "protocol", "closed the connection"),
    ],
)
def test_what_a_host_says_before_it_hangs_up_is_in_the_error(greeting: bytes, code: str, words: str) -> None:
    with socket.create_server((address(41), PORT)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)

        thread = threading.Thread(target=serve)
        thread.start()
        result = ssh_batch([task(address(41), password="p")])[address(41)]
        thread.join()
    assert result["error_code"] == code
    assert words in result["error"]


ENDLESS = {
    "lines before the version": b"Welcome\r\n",
    "one line before the version": b"x",
    "ignored messages": b"SSH-2.0-x\r\n" + b"\0\0\0\x0c\x06\x02\0\0\0\0\0\0\0\0\0\0" * 100,
    "zeros": b"\0",
    "garbage": b"\xff\x00\x80\r\n",
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_hostile_host_harms_only_itself(server: Server, kind: str) -> None:
    with socket.create_server((address(42), PORT)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                while True:
                    connection.sendall(ENDLESS[kind] * 100)

        thread = threading.Thread(target=serve)
        thread.start()
        tasks = [task(address(42), timeout=5, password="p"), task(server.address, private_key=server.key)]
        results = ssh_batch(tasks)
        thread.join()
    assert results[address(42)]["error_code"] in ("protocol", "timeout")
    assert results[address(42)]["duration_ms"] < 7_000
    assert results[server.address]["success"]


def test_many_hosts_that_flood_before_the_login_delay_nobody(server: Server) -> None:
    """Each sends a version, and then messages that are to be ignored, without end."""
    flooding = [address(number) for number in range(100, 140)]

    def serve(listener: socket.socket) -> None:
        with listener, suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"SSH-2.0-x\r\n")
                while True:
                    connection.sendall(b"\0\0\0\x0c\x06\x02\0\0\0\0\0\0\0\0\0\0" * 10_000)

    listeners = [socket.create_server((target, PORT)) for target in flooding]
    threads = [threading.Thread(target=serve, args=[listener]) for listener in listeners]
    for thread in threads:
        thread.start()
    tasks = [task(target, timeout=10, password="p") for target in flooding]
    results = ssh_batch([*tasks, task(server.address, private_key=server.key)])
    for thread in threads:
        thread.join()
    for target in flooding:
        assert results[target]["error_code"] == "protocol", results[target]
        assert "before the login" in results[target]["error"]
    assert results[server.address]["success"]
    assert results[server.address]["duration_ms"] < 4_000


@pytest.mark.parametrize(
    "change", ["indented", "one line", "byte order mark", "line breaks as in JSON", "DOS"]
)
@pytest.mark.parametrize("is_locked", [False, True])
def test_a_key_that_was_pasted_is_read(server: Server, change: str, is_locked: bool) -> None:
    key = server.passphrase_key if is_locked else server.key
    pasted = {
        "indented": "".join(f"    {line}\n" for line in key.splitlines()),
        "one line": " ".join(key.splitlines()),
        "byte order mark": f"\ufeff{key}",
        "line breaks as in JSON": key.replace("\n", "\\n"),
        "DOS": key.replace("\n", "\r\n"),
    }[change]
    passphrase: dict[str, Any] = {"passphrase": "a passphrase"} if is_locked else {}
    result = ssh_batch([task(server.address, private_key=pasted, **passphrase)])[server.address]
    assert result["success"], result
