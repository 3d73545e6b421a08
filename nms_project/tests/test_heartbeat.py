"""Workers that live, that end and that are killed, as the list of workers has them."""

import orjson

from nms_project import heartbeat
from nms_project.heartbeat import KEY, Beat, beat_write, workers_list
from nms_project.redis_client import redis_client

BEAT = Beat(
    host="here", pid=7, queues=["ping"], threads=4, busy=1, done=9, load=0.5, memory_bytes=100_000_000
)


def silent(name: str, seconds: float) -> None:
    line = orjson.loads(redis_client().hget(KEY, name) or b"{}")
    redis_client().hset(KEY, name, orjson.dumps({**line, "at": line["at"] - seconds}))


def test_a_worker_that_says_so_is_alive() -> None:
    beat_write("b", BEAT)
    beat_write("a", BEAT)
    assert [worker.name for worker in workers_list()] == ["a", "b"]
    assert all(worker.is_alive and worker.beat == BEAT for worker in workers_list())


def test_one_that_was_killed_is_gone_and_then_forgotten() -> None:
    beat_write("killed", BEAT)
    silent("killed", heartbeat.GONE_SECONDS + 1)
    (worker,) = workers_list()
    assert not worker.is_alive
    silent("killed", heartbeat.FORGET_SECONDS)
    assert workers_list() == []
    beat_write("ahead", BEAT)
    silent("ahead", -heartbeat.FORGET_SECONDS - 60)  # it was killed before the clock was set back
    assert workers_list() == []
    beat_write("other", BEAT)  # which also takes the old line away
    assert list(redis_client().hgetall(KEY)) == [b"other"]
