"""The Redis connection pool of this process, for what is not Celery's: failure windows, queue lengths."""

from functools import lru_cache

import redis
from django.conf import settings

from nms_project import redis_address


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis_address.client(url)


def redis_client() -> redis.Redis:
    return _client(settings.REDIS_URL)
