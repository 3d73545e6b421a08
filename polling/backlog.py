"""How many messages wait in queues."""

from collections.abc import Sequence

from nms_project.redis_client import redis_client


def backlog(queues: Sequence[str]) -> int:
    """The length of the longest of these queues. Raises redis.RedisError when Redis is away."""
    with redis_client().pipeline(transaction=False) as pipeline:
        for name in queues:
            pipeline.llen(name)
        return max(pipeline.execute(), default=0)
