"""The Redis connection pool of this process, for what is not Celery's: failure windows, queue lengths."""

from functools import lru_cache
from pathlib import Path

import redis
from django.conf import settings
from redis.commands.core import Script

from nms_project import redis_address


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis_address.client(url)


def redis_client() -> redis.Redis:
    return _client(settings.REDIS_URL)


def lua_script(path: Path) -> Script:
    """To be called with `keys`, `args` and, as `client`, redis_client() or a pipeline of it. A server that
    lacks it is given it once; from then on only its digest is sent.
    """
    return redis.Redis().register_script(path.read_text(encoding="utf-8"))
