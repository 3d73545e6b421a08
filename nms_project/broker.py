"""Kombu's Redis transport, for which a message that cannot be read is not the end of its worker.

Kombu reads an entry of a queue as JSON with the keys of its envelope, and lets any error of that end the
process. Whatever else can write to Redis (an operator's typo, a tool of another version) must not stop the
workers.
"""

import logging
from collections.abc import Callable
from typing import Any

import kombu.transport
from kombu.transport import redis
from kombu.transport.virtual import Empty

from nms_project.telemetry import count

logger = logging.getLogger(__name__)

# What reading an entry raises that is not JSON, or not the envelope of a message.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)
COUNTER = "messages_dropped"


def register() -> None:
    """Have Celery use these transports for the URLs of Redis."""
    for scheme in ("redis", "rediss"):
        kombu.transport.TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"
    kombu.transport.TRANSPORT_ALIASES["sentinel"] = f"{__name__}:SentinelTransport"


class _DroppingChannel:
    """Mixed into Kombu's channels."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # the channel's
        except ValueError as error:
            _note_dropped("", error)
            raise Empty from None

    def basic_consume(
        self, queue: str, no_ack: bool, callback: Callable[[Any], Any], consumer_tag: str, **kwargs: Any
    ) -> None:
        """Consume from a queue; what Celery cannot make a task of is acknowledged, or it would come again."""

        def consume(message: Any) -> Any:
            try:
                return callback(message)
            except UNREADABLE as error:
                _note_dropped(queue, error)
                if not message.acknowledged:
                    message.ack()
                return None

        super().basic_consume(queue, no_ack, consume, consumer_tag, **kwargs)  # type: ignore[misc]


class _DroppingTransport:
    """Mixed into Kombu's transports."""

    def _deliver(self, message: Any, queue: str) -> None:
        """Make a message of an entry, for the queue's consumer."""
        try:
            super()._deliver(message, queue)  # type: ignore[misc]  # the transport's
        except UNREADABLE as error:
            _note_dropped(queue, error)


class Channel(_DroppingChannel, redis.Channel):  # type: ignore[misc]  # Kombu has no types
    pass


class SentinelChannel(_DroppingChannel, redis.SentinelChannel):  # type: ignore[misc]
    pass


class Transport(_DroppingTransport, redis.Transport):  # type: ignore[misc]
    Channel = Channel


class SentinelTransport(_DroppingTransport, redis.SentinelTransport):  # type: ignore[misc]
    Channel = SentinelChannel


def _note_dropped(queue: str, error: Exception) -> None:
    where = f" of queue {queue}" if queue else ""
    logger.error("a message%s cannot be read and is dropped: %s: %s", where, type(error).__name__, error)
    count({(COUNTER, ""): 1})
