"""The base of our errors.

    NMSError
    ├── InvalidInput          400, names the field
    ├── Conflict              409
    ├── devices.errors        CredentialUnreadable
    ├── polling.errors        FpingFault, RunnerClosed (retryable), NoWorker (503, retryable)
    ├── discovery.errors      InvalidTarget (an InvalidInput)
    └── nms_project.stack     StackError

Every error has a stable `code` for programs and a message for people. `retryable` says whether the same call
may succeed later without anybody changing anything.
"""

from typing import ClassVar

import redis
from django.db import InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError

# It answers, and refuses, when its disk or memory is full or its replicas are gone.
REDIS_AWAY = (redis.ConnectionError, redis.TimeoutError, redis.ResponseError)
# A server that is needed is away.
OUTAGES = (OperationalError, InterfaceError, *REDIS_AWAY, BrokerError)


class NMSError(Exception):
    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False


class InvalidInput(NMSError):
    """Something the caller sent cannot be accepted; `fields` maps each field to its messages."""

    code = "invalid"
    status = 400

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(f"{name}: {' '.join(texts)}" for name, texts in fields.items()))
        self.fields = fields


class Conflict(NMSError):
    code = "conflict"
    status = 409
