"""Beat's scheduler: Celery's own, in memory, that does not stop when the clock is set back."""

import logging
import time
from typing import Any

import redis
from celery.beat import Scheduler

from nms_project.redis_client import redis_client

logger = logging.getLogger(__name__)

JUMP_SECONDS = 5.0
MAX_WAITING = 300  # messages in a queue that nobody works on; Redis forgets none by itself


class SteadyScheduler(Scheduler):
    """Celery reckons the next run from the last one by wall time: set back an hour, it sends nothing for one.

    Nothing it could remember matters (every periodic task is claim-based), so a jump simply starts it afresh.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offset = _clock_offset()

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        offset = _clock_offset()
        if abs(offset - self._offset) > JUMP_SECONDS:
            self._offset = offset
            for entry in self.schedule.values():
                entry.last_run_at = entry.default_now()
            self._heap = None
        return super().tick(*args, **kwargs)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Sends, unless so many wait already that one more makes no difference."""
        queue = entry.options["queue"]
        try:
            is_full = int(redis_client().llen(queue)) >= MAX_WAITING
        except redis.RedisError:
            is_full = False  # sending says so, too
        if is_full:
            logger.warning("%s is not sent: %s is full, and seems to have no worker", entry.task, queue)
        else:
            super().apply_entry(entry, producer)


def _clock_offset() -> float:
    return time.time() - time.monotonic()
