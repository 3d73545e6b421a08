"""The base of our errors.

    NMSError
    ├── InvalidInput          400, names the field
    ├── Conflict              409
    ├── devices               CredentialUnreadable, SecretsUnreadable (a Conflict)
    ├── polling.errors        FpingFault, RunnerClosed, NoWorker (503)
    ├── discovery.errors      InvalidTarget (an InvalidInput)
    └── nms_project.stack     StackError

Each has a message for people, and the status of the answer to a request that it ends; the answer's `code`
for programs is made of that (nms_project/api.py).
"""

from typing import ClassVar

import redis
from django.db import InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError

POSTGRES_AWAY = (OperationalError, InterfaceError)
# It answers, and refuses, when its disk or memory is full or its replicas are gone.
REDIS_AWAY = (redis.ConnectionError, redis.TimeoutError, redis.ResponseError)
# A server that is needed is away.
OUTAGES = (*POSTGRES_AWAY, *REDIS_AWAY, BrokerError)


class NMSError(Exception):
    status: ClassVar[int] = 500


OF_ALL_FIELDS = "non_field_errors"  # what is wrong with none of them by itself, as DRF names it


def field_told(name: str, text: str) -> str:
    """What is wrong with a field, in a line for people."""
    return text if name == OF_ALL_FIELDS else f"{name}: {text}"


class InvalidInput(NMSError):
    """Something the caller sent cannot be accepted; `fields` maps each field to its messages."""

    status = 400

    def __init__(self, fields: dict[str, list[str]]) -> None:
        super().__init__("; ".join(field_told(name, " ".join(texts)) for name, texts in fields.items()))
        self.fields = fields

    @property
    def words(self) -> str:
        """What is wrong, without the names of the fields."""
        return " ".join(sum(self.fields.values(), []))


class Conflict(NMSError):
    status = 409
