"""REDIS_URL: its forms, and a real fail-over behind a real sentinel."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import kombu
import pytest
import redis
from django.core.exceptions import ImproperlyConfigured

from nms_project.redis_address import broker, client, sentinel_parse
from nms_project.stack.live import free_port
from nms_project.stack.redis import _binary

MASTER = "nms-master"
PASSWORD = "p@w/;%"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://:pw@host:6379/3", "redis://:pw@host:6379/3"),
        ("unix:///run/redis.sock?db=2", "redis+socket:///run/redis.sock?virtual_host=2"),
        ("sentinel://a:1,b/m", "sentinel://a:1/0;sentinel://b:26379/0"),
        ("sentinel://:p%40w@a:1/m?db=4", "sentinel://:p%40w@a:1/4"),
        ("sentinel://:%2F%3B%25@a:1,b:2/m", "sentinel://:%2F%3B%25@a:1/0;sentinel://:%2F%3B%25@b:2/0"),
    ],
)
def test_the_broker_gets_the_same_server(url: str, expected: str) -> None:
    assert broker(url)[0] == expected


@pytest.mark.parametrize("url", ["sentinel://a:1", "sentinel:///m", "sentinel://a:x/m"])
def test_a_broken_address_is_refused(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL"):
        sentinel_parse(url)


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(sentinel_parse("sentinel://:secret@a:1/m"))


# --- The real thing ---


class Servers:
    """A master, a replica of it and a sentinel that watches both, on loopback."""

    def __init__(self, folder: Path) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in ("master", "replica", "sentinel")}
        common = f"bind 127.0.0.1\nsave ''\nrequirepass {PASSWORD}\nmasterauth {PASSWORD}\n"
        self.start(folder, "master", common)
        self.start(folder, "replica", f"{common}replicaof 127.0.0.1 {self.ports['master']}\n")
        self.start(
            folder,
            "sentinel",
            f"bind 127.0.0.1\nsentinel monitor {MASTER} 127.0.0.1 {self.ports['master']} 1\n"
            f"sentinel auth-pass {MASTER} {PASSWORD}\nsentinel down-after-milliseconds {MASTER} 2000\n"
            f"sentinel failover-timeout {MASTER} 3000\n",
            "--sentinel",
        )
        self.url = f"sentinel://:{quote(PASSWORD, safe='')}@127.0.0.1:{self.ports['sentinel']}/{MASTER}"

    def start(self, folder: Path, name: str, text: str, *options: str) -> None:
        place = folder / name
        place.mkdir()
        configuration = place / "redis.conf"
        configuration.write_text(f"port {self.ports[name]}\ndir {place}\n{text}")
        command = [_binary(), str(configuration), *options]
        log = (place / "log").open("wb")
        self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)
        log.close()

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def master_port(self) -> int:
        sentinel = redis.Redis(port=self.ports["sentinel"], socket_timeout=2)
        with sentinel:
            found = sentinel.execute_command("SENTINEL", "get-master-addr-by-name", MASTER)
        return int(found[1])


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    started = Servers(tmp_path)
    yield started
    started.stop()


def eventually(what: str, seconds: float, *, of: object) -> None:
    assert callable(of)
    deadline = time.monotonic() + seconds
    while True:
        try:
            if of():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.slow
def test_a_fail_over_is_followed_by_both(servers: Servers) -> None:
    ours = client(servers.url)
    eventually("a master is known", 10, of=lambda: ours.set("before", "1"))
    eventually("the replica follows", 10, of=lambda: ours.wait(1, 200))
    url, options = broker(servers.url)
    with kombu.Connection(url, transport_options=options) as connection:
        connection.SimpleQueue("work").put("one")
        assert ours.llen("work") == 1
        assert ours.incr("after")
        eventually("the replica has both", 10, of=lambda: ours.wait(1, 200))
        eventually("the sentinel knows the replica", 10, of=lambda: knows_replica(servers))
        servers.processes["master"].kill()
        eventually("the replica takes over", 30, of=lambda: servers.master_port() == servers.ports["replica"])
        eventually("our client follows", 15, of=lambda: ours.get("before") == b"1")
        assert ours.llen("work") == 1
    with kombu.Connection(url, transport_options=options) as connection:
        message = connection.SimpleQueue("work").get(timeout=10)
        assert message.payload == "one"
        message.ack()


def knows_replica(servers: Servers) -> bool:
    with redis.Redis(port=servers.ports["sentinel"], socket_timeout=2) as sentinel:
        return bool(sentinel.execute_command("SENTINEL", "replicas", MASTER))
