"""Hands tasks to their plugin, as far as their accounts may try a login now: the one way from the stages
to it.
"""

import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import redis

from plugins.contract import ErrorCode, Result, Task, failed
from plugins.registry import Plugin
from polling.logins import logins_admit, logins_settle
from polling.runners import runner_for

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
    if is_forced:
        yield from _settled(plugin, by_id, _run(plugin, tasks, start_within_seconds))
        return
    admission = logins_admit(plugin, tasks, start_within_seconds=start_within_seconds)
    if admission.paused:
        yield [_paused(request_id, seconds) for request_id, seconds in admission.paused.items()]
    if not admission.wait:
        yield from _settled(plugin, by_id, _run(plugin, admission.go, start_within_seconds))
        return
    rounds = _Rounds(plugin, admission.wait, start_within_seconds)
    rounds.start(admission.go)
    yield from _settled(plugin, by_id, rounds.results())


def _run(plugin: Plugin, tasks: Sequence[Task], start_within_seconds: float) -> Iterator[list[Result]]:
    if tasks:
        yield from runner_for(plugin).run(tasks, start_within_seconds=start_within_seconds)


def _settled(
    plugin: Plugin, tasks: dict[str, Task], batches: Iterator[list[Result]]
) -> Iterator[list[Result]]:
    """Logins are recorded before the results are handed on, and those whatever becomes of that."""
    left = dict(tasks)
    for results in filter(None, batches):
        answered = {result.request_id: tasks[result.request_id] for result in results}
        _settle(plugin, answered, results)
        left = {request_id: task for request_id, task in left.items() if request_id not in answered}
        yield results
    _settle(plugin, left, [])


def _settle(plugin: Plugin, tasks: dict[str, Task], results: list[Result]) -> None:
    try:
        logins_settle(plugin, tasks, results)
    except redis.RedisError as error:
        logger.warning("logins could not be recorded: %s", type(error).__name__)


def _paused(request_id: str, seconds: int) -> Result:
    error = f"not attempted: the login was refused too often, it is tried again in {seconds} s"
    return failed(request_id, ErrorCode.AUTH, error, was_attempted=False)


class _Rounds:
    """Tasks that wait until the tries under way say that their account may go on: each round of them is run
    by a thread of its own, so that one host that hangs holds up nobody.
    """

    def __init__(self, plugin: Plugin, waiting: list[Task], start_within_seconds: float) -> None:
        self._plugin = plugin
        self._waiting = waiting
        self._give_up_at = time.monotonic() + start_within_seconds
        self._answers: queue.SimpleQueue[list[Result] | Exception | None] = queue.SimpleQueue()
        self._running = 0

    def start(self, tasks: Sequence[Task]) -> None:
        if tasks:
            self._running += 1
            threading.Thread(target=self._work, args=(tasks,), daemon=True).start()

    def results(self) -> Iterator[list[Result]]:
        while self._running or self._waiting:
            answer: list[Result] | Exception | None = []
            with suppress(queue.Empty):
                answer = self._answers.get(timeout=WAIT_SECONDS)
            if answer is None:
                self._running -= 1
            elif isinstance(answer, Exception):
                raise answer
            elif answer:
                yield answer
            yield self._go_on()

    def _go_on(self) -> list[Result]:
        """Starts what may go by now; returns the results of what may not go at all."""
        if not self._waiting:
            return []
        remaining = self._give_up_at - time.monotonic()
        if remaining <= 0:
            logger.warning("plugin %s: %d tasks could not start in time", self._plugin.id, len(self._waiting))
            self._waiting = []
            return []
        admission = logins_admit(self._plugin, self._waiting, start_within_seconds=remaining)
        self._waiting = admission.wait
        self.start(admission.go)
        return [_paused(request_id, seconds) for request_id, seconds in admission.paused.items()]

    def _work(self, tasks: Sequence[Task]) -> None:
        try:
            for results in _run(self._plugin, tasks, max(0.0, self._give_up_at - time.monotonic())):
                self._answers.put(results)
        except Exception as error:  # noqa: BLE001 (raised again by whoever waits for the results)
            self._answers.put(error)
        finally:
            self._answers.put(None)
