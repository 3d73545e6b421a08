"""One tick: claim what is due and send it on in batches, to the ping stage or straight to the plugin's
shard.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from celery import current_app
from django.conf import settings

from devices.schedule import device_hash, to_microseconds
from nms_project.queues import Queue, poll_queue, queue_names
from plugins.registry import ICMP
from polling.backlog import queue_lengths, queue_trim, queues_attended
from polling.claim import (
    PING_LEASE_SECONDS,
    SLACK_SECONDS,
    Claimed,
    leases_expire,
    slots_claim,
    slots_reset,
)
from polling.clock_watch import ClockWatch
from polling.slots import PingedSlot, Slot

logger = logging.getLogger(__name__)

# Their length says nothing about whether a poll can be worked on in time.
NOT_POLLING = frozenset({Queue.CONTROL, Queue.DISCOVERY, Queue.HISTORY})

T = TypeVar("T")
_clock = ClockWatch()


def lease_seconds() -> float:
    return PING_LEASE_SECONDS + settings.NMS_PLUGIN_TIMEOUT_SECONDS + SLACK_SECONDS


def tick() -> int:
    """Claims and sends everything that is due; returns how many slots were leased."""
    offset = _clock.offset()
    if offset is not None:
        if _clock.was_set_back(offset):
            reset_slots()
        _clock.keep(offset)
    limit = settings.NMS_CLAIM_LIMIT
    leases_expire(limit=limit)
    if _is_held_up():
        return 0
    leased, due = 0, limit
    while due == limit:
        slots, due = slots_claim(limit=limit, lease_seconds=lease_seconds())
        dispatch(slots)
        leased += len(slots)
    return leased


def reset_slots() -> None:
    """Have what is due after a clock was set back not wait until it has come so far again."""
    moved = slots_reset(lease_seconds=lease_seconds())
    if moved:
        logger.warning("the clock jumped back: %d devices got a new slot", moved)


def _is_held_up() -> bool:
    """Whether what is claimed now could not be worked on before its lease ends. A queue without a worker
    holds up no other: its slots become `lost`, and its oldest messages, whose leases have ended, go.
    """
    limit = settings.NMS_MAX_BACKLOG
    lengths = queue_lengths([name for name in queue_names() if name not in NOT_POLLING])
    full = {name: length for name, length in lengths.items() if length > limit}
    if not full:
        return False
    attended = queues_attended()
    for name, length in full.items():
        if name == Queue.STORE or name in attended:  # results are never dropped
            logger.warning("claiming pauses: %d messages wait in %s, NMS_MAX_BACKLOG=%d", length, name, limit)
            return True
        logger.warning("%s has no worker: its oldest messages are dropped, their slots become lost", name)
        queue_trim(name, limit)
    return False


def dispatch(slots: Sequence[Claimed]) -> None:
    """Sends leased slots to their first stage. What cannot be sent becomes `lost` when its lease ends."""
    to_ping: list[Slot] = []
    to_poll: list[tuple[str, PingedSlot]] = []
    for claimed in slots:
        due_us = to_microseconds(claimed.due_at)
        # Asking is all there is to a ping-only device.
        if claimed.should_ping or claimed.plugin_id == ICMP.id:
            to_ping.append(Slot(claimed.device_id, due_us))
        else:
            to_poll.append((claimed.plugin_id, PingedSlot(claimed.device_id, due_us, None, None)))
    for batch in batches(to_ping, settings.NMS_BATCH_SIZE):
        current_app.send_task("polling.ping", args=[batch])
    send_to_poll(to_poll)


def send_to_poll(slots: Iterable[tuple[str, PingedSlot]]) -> None:
    """Groups (plugin id, slot) by plugin and shard, so that a device always meets the same plugin process."""
    groups: dict[tuple[str, int], list[PingedSlot]] = defaultdict(list)
    for plugin_id, slot in slots:
        groups[plugin_id, device_hash(slot.device_id) % settings.NMS_POLL_SHARDS].append(slot)
    for (plugin_id, shard), members in groups.items():
        for batch in batches(members, settings.NMS_BATCH_SIZE):
            current_app.send_task("polling.poll", args=[plugin_id, batch], queue=poll_queue(shard))


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
