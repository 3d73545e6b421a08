"""Beat's scheduler: Celery's own, in memory, that does not stop when the clock is set back."""

import time
from typing import Any

from celery.beat import Scheduler

JUMP_SECONDS = 5.0


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


def _clock_offset() -> float:
    return time.time() - time.monotonic()
