"""Workers say every few seconds that they live and how busy they are, in a Redis hash for all machines.

Times are Redis's, so that the clocks of the machines do not matter. A worker that ends takes its line away;
one that was killed leaves it, and is seen to be gone.
"""

import logging
import os
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
import redis
from celery import bootsteps
from celery.worker import state

from nms_project.redis_client import redis_client

logger = logging.getLogger(__name__)

KEY = "nms:workers"
BEAT_SECONDS = 5.0
GONE_SECONDS = 20.0  # without a word for that long, it is gone
FORGET_SECONDS = 3_600.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Beat:
    """`busy` of `threads` work on a message; `load` is the machine's, of one minute, for each of its
    processors; `key_ids` are those of the keys that it opens secrets with, `plugin_ids` what it can poll by.
    """

    host: str
    pid: int
    queues: list[str]
    threads: int
    busy: int
    done: int
    load: float
    memory_bytes: int
    key_ids: list[str] = field(default_factory=list)
    plugin_ids: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Worker:
    name: str
    silent_seconds: float
    beat: Beat

    @property
    def is_alive(self) -> bool:
        return self.silent_seconds < GONE_SECONDS


def workers_list() -> list[Worker]:
    """By name, those killed within the last hour too. Raises redis.RedisError when Redis is away."""
    with redis_client().pipeline(transaction=False) as pipeline:
        pipeline.time()
        pipeline.hgetall(KEY)
        moment, stored = pipeline.execute()
    now, found = _seconds(moment), []
    for name, line in stored.items():
        fields = orjson.loads(line)
        silent = _apart(now, fields.pop("at"))
        if silent < FORGET_SECONDS:
            found.append(Worker(name.decode(), silent, Beat(**fields)))
    return sorted(found, key=lambda worker: worker.name)


def beat_write(name: str, beat: Beat) -> None:
    """Also drops the lines of those that have been gone for long."""
    client = redis_client()
    now = _seconds(client.time())
    stored: dict[bytes, bytes] = client.hgetall(KEY)  # type: ignore[assignment]  # no decoding client
    old = [other for other, line in stored.items() if _apart(now, orjson.loads(line)["at"]) > FORGET_SECONDS]
    with client.pipeline(transaction=False) as pipeline:
        pipeline.hset(KEY, name, orjson.dumps({"at": now, **asdict(beat)}))
        if old:
            pipeline.hdel(KEY, *old)
        pipeline.execute()


def _seconds(moment: Any) -> float:
    """Of Redis's TIME: seconds and microseconds."""
    return float(moment[0] + moment[1] / 1_000_000)


def _apart(now: float, at: float) -> float:
    """A heartbeat ahead of now was sent before the clock was set back; its age is not known."""
    return abs(now - at)


class Heart(bootsteps.StartStopStep):
    """A step of every worker's start, and of its end."""

    requires = ("celery.worker.components:Timer", "celery.worker.components:Pool")

    def start(self, worker: Any) -> None:
        self.timer = worker.timer.call_repeatedly(BEAT_SECONDS, self._beat, (worker,))
        self._beat(worker)

    def stop(self, worker: Any) -> None:
        self.timer.cancel()
        try:
            redis_client().hdel(KEY, worker.hostname)
        except redis.RedisError as error:
            logger.debug("not taken off the list of workers: %s", error)

    def _beat(self, worker: Any) -> None:
        try:
            beat_write(worker.hostname, beat_of(worker))
        except redis.RedisError as error:
            logger.debug("no heartbeat: %s", error)


def beat_of(worker: Any) -> Beat:
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return Beat(
        host=socket.gethostname(),
        pid=os.getpid(),
        queues=sorted(worker.app.amqp.queues.consume_from),
        threads=worker.concurrency,
        busy=len(state.active_requests),
        done=sum(state.total_count.values()),
        load=os.getloadavg()[0] / (os.cpu_count() or 1),
        memory_bytes=resident * PAGE_BYTES,
        # devices/apps.py has put them there.
        key_ids=getattr(worker, "key_ids", []),
        plugin_ids=getattr(worker, "plugin_ids", []),
    )
