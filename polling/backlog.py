"""How many messages wait in queues."""

from collections.abc import Sequence

from nms_project.redis_client import redis_client


def queue_lengths(queues: Sequence[str]) -> dict[str, int]:
    """Messages that wait, by queue. Raises redis.RedisError when Redis is away."""
    with redis_client().pipeline(transaction=False) as pipeline:
        for name in queues:
            pipeline.llen(name)
        return dict(zip(map(str, queues), pipeline.execute(), strict=True))


def backlog(queues: Sequence[str]) -> int:
    """The length of the longest of these queues."""
    return max(queue_lengths(queues).values(), default=0)
