"""Hands tasks to their plugin, as far as their accounts may try a login now; the one way from the stages
to it.
"""

import logging
import time
from collections.abc import Iterator, Sequence

import redis

from plugins.contract import ErrorCode, Result, Task, failed
from plugins.registry import Plugin
from polling.logins import Admission, logins_admit, logins_settle
from polling.runners import runner_for
from polling.shutdown import stopping

logger = logging.getLogger(__name__)

WAIT_SECONDS = 0.5


def tasks_run(
    plugin: Plugin, tasks: Sequence[Task], *, start_within_seconds: float, is_forced: bool = False
) -> Iterator[list[Result]]:
    """Yields results as they come, one for each task; none for a task that could not start in time.

    `is_forced`: a person asked for this try. It is made whatever the account's record says, and counted.
    Raises redis.RedisError when Redis is away before the tasks were started.
    """
    by_id = {task.request_id: task for task in tasks}
    give_up_at = time.monotonic() + start_within_seconds
    waiting = list(tasks)
    while waiting:
        admission = Admission(waiting, [], {}) if is_forced else logins_admit(waiting)
        if admission.paused:
            yield [_paused(request_id, seconds) for request_id, seconds in admission.paused.items()]
        remaining = max(0.0, give_up_at - time.monotonic())
        for results in runner_for(plugin).run(admission.go, start_within_seconds=remaining):
            _settle(by_id, results)
            yield results
        waiting = admission.wait
        is_held_up = bool(waiting) and not admission.go
        if is_held_up and (time.monotonic() > give_up_at or stopping.wait(WAIT_SECONDS)):
            logger.warning("plugin %s: %d tasks could not start in time", plugin.id, len(waiting))
            return


def _paused(request_id: str, seconds: int) -> Result:
    error = f"not attempted: the login was refused too often, it is tried again in {seconds} s"
    return failed(request_id, ErrorCode.AUTH, error, was_attempted=False)


def _settle(tasks: dict[str, Task], results: Sequence[Result]) -> None:
    """The results are handed on whatever becomes of this."""
    try:
        logins_settle(tasks, results)
    except redis.RedisError as error:
        logger.warning("logins could not be recorded: %s", type(error).__name__)
