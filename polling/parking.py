"""Store messages that kill their worker: counted in Redis while they are worked on, parked in a table at the
third time.

An exception is not a kill: the count goes up before the work and down after it, so it stands only where a
process died.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import redis
from celery import current_app

from nms_project.redis_client import redis_client
from polling.models import ParkedMessage

logger = logging.getLogger(__name__)

MAX_KILLS = 3
REMEMBER_SECONDS = 86_400


def _key(task_id: str) -> str:
    return f"nms:store:working:{task_id}"


@contextmanager
def kills_counted(task_id: str) -> Iterator[int]:
    """Yields how many workers have died over this message; 0 while Redis cannot tell."""
    deaths = 0
    with suppress(redis.RedisError), redis_client().pipeline() as pipeline:
        pipeline.incr(_key(task_id))
        pipeline.expire(_key(task_id), REMEMBER_SECONDS)
        deaths = int(pipeline.execute()[0]) - 1
    try:
        yield deaths
    finally:
        with suppress(redis.RedisError):
            if deaths > 0:
                redis_client().decr(_key(task_id))
            else:
                redis_client().delete(_key(task_id))


def message_unpark(parked: ParkedMessage) -> None:
    """Back to the store stage, as a message that has killed nobody: what was beside it may have been to
    blame. Stored twice it does no harm. Raises kombu's OperationalError when the broker is away.
    """
    current_app.send_task("polling.store", args=[parked.body])
    parked.delete()


def message_park(task_id: str, body: Any, *, reason: str) -> None:
    ParkedMessage.objects.get_or_create(task_id=task_id, defaults={"body": body})
    logger.error("a store message is parked, %s: see Parked messages in the admin", reason)
