"""The asyncio host of plugins: one result for each task, whatever its worker raises."""

import asyncio
from typing import Any

import pytest

from plugins.contract import ErrorCode, Operation, Task
from plugins.kit.aio import _Edge
from plugins.kit.tasks import ResultFields

ITEM = {"request_id": "1", "target": "127.0.0.1", "port": 1, "credentials": {}}


class Panic(BaseException):
    """As a library written in Rust raises."""


class Worker:
    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def work(self, task: Task) -> ResultFields:
        raise self.error

    def classify(self, error: BaseException, task: Task) -> tuple[ErrorCode, str]:
        return ErrorCode.PROTOCOL, type(error).__name__

    async def close(self) -> None:
        pass


async def answered(error: BaseException) -> dict[str, Any]:
    return await _Edge(Worker(error)).answer(ITEM, Operation.POLL)


@pytest.mark.parametrize("error", [Panic("index out of range"), RecursionError(), OSError()])
def test_whatever_a_worker_raises_becomes_the_tasks_result(error: BaseException) -> None:
    result = asyncio.run(answered(error))
    assert (result["request_id"], result["error_code"]) == ("1", "protocol")


def test_a_task_that_is_cancelled_has_no_result() -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(answered(asyncio.CancelledError()))
