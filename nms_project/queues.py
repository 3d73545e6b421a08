"""The Celery queues: what each is for, and how many messages one worker process works on at a time."""

from enum import StrEnum

from django.conf import settings


class Queue(StrEnum):
    CONTROL = "control"  # ticks and other short periodic work
    PING = "ping"  # batches of devices for fping; they wait more than they compute
    POLL = "poll"  # the base name; each shard has a queue of its own, poll.0, poll.1, …
    STORE = "store"  # verdicts and samples on their way into PostgreSQL
    DISCOVERY = "discovery"  # sweeps of discovery runs
    HISTORY = "history"  # rollups, retention, erasing: long work that may wait


def poll_queue(shard: int) -> str:
    return f"{Queue.POLL}.{shard}"


def queue_names() -> list[str]:
    """Every queue that some worker must consume."""
    shards = [poll_queue(shard) for shard in range(settings.NMS_POLL_SHARDS)]
    return [Queue.CONTROL, Queue.PING, *shards, Queue.STORE, Queue.DISCOVERY, Queue.HISTORY]


def concurrency(queue: str) -> int:
    """Threads of one worker process of `queue`."""
    base = queue.partition(".")[0]
    threads: dict[str, int] = {
        Queue.CONTROL: 2,
        Queue.PING: settings.NMS_PING_THREADS,
        Queue.POLL: settings.NMS_POLL_THREADS,
        Queue.STORE: settings.NMS_STORE_THREADS,
        Queue.DISCOVERY: settings.NMS_DISCOVERY_THREADS,
        Queue.HISTORY: 2,
    }
    return threads[base]
