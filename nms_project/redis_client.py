"""The Redis connection pool of this process, for what is not Celery's: failure windows, queue lengths."""

from functools import lru_cache

import redis
from django.conf import settings


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    # Time-outs: a Redis that hangs must show as away, not hang its caller.
    return redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)


def redis_client() -> redis.Redis:
    return _client(settings.REDIS_URL)
