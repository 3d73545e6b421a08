"""How many messages wait in queues, and whether somebody works on them."""

from collections.abc import Sequence

from nms_project.heartbeat import workers_list
from nms_project.redis_client import redis_client


def queue_lengths(queues: Sequence[str]) -> dict[str, int]:
    """Messages that wait, by queue. Raises redis.RedisError when Redis is away."""
    with redis_client().pipeline(transaction=False) as pipeline:
        for name in queues:
            pipeline.llen(name)
        return dict(zip(map(str, queues), pipeline.execute(), strict=True))


def queues_attended() -> set[str]:
    """Those that a living worker consumes. Raises redis.RedisError when Redis is away."""
    return {queue for worker in workers_list() if worker.is_alive for queue in worker.beat.queues}


def queue_trim(queue: str, keep: int) -> None:
    """Leaves its newest `keep` messages. Raises redis.RedisError when Redis is away."""
    redis_client().ltrim(queue, 0, keep - 1)  # Kombu pushes to the left
