"""Counters that all processes on all machines share: a Redis hash, read when /metrics is scraped.

A counter that Redis lost starts again at 0, which is what readers of counters expect. Counting never fails
and never holds up what is counted.
"""

import logging
from collections.abc import Mapping

import redis

from nms_project.redis_client import redis_client

logger = logging.getLogger(__name__)

KEY = "nms:telemetry"
SEPARATOR = "|"


def count(amounts: Mapping[tuple[str, str], int]) -> None:
    """Adds to counters named (name, label value); the label value may be empty."""
    try:
        with redis_client().pipeline(transaction=False) as pipeline:
            for (name, label), amount in amounts.items():
                pipeline.hincrby(KEY, f"{name}{SEPARATOR}{label}", amount)
            pipeline.execute()
    except redis.RedisError as error:
        logger.debug("not counted: %s", error)


def counters() -> dict[tuple[str, str], int]:
    """All of them. Raises redis.RedisError when Redis is away."""
    found = {}
    stored: dict[bytes, bytes] = redis_client().hgetall(KEY)  # type: ignore[assignment]  # no decoding client
    for field, value in stored.items():
        name, _, label = field.decode().partition(SEPARATOR)
        found[name, label] = int(value)
    return found
