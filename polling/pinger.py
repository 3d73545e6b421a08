"""The ping stage: one fping for a batch of slots; what answers goes on to its plugin, the rest gets its
verdict.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import orjson

from devices.schedule import to_microseconds
from plugins.contract import ErrorCode
from plugins.registry import ICMP
from polling.errors import FpingFault
from polling.fping import Echo, ping
from polling.guard import LeasedDevice, still_leased
from polling.models import VerdictKind
from polling.scheduler import send_to_poll
from polling.slots import PingedSlot, Report, Slot
from polling.verdicts import not_attempted

logger = logging.getLogger(__name__)


def ping_slots(slots: Sequence[Slot]) -> list[Report]:
    """Pings the slots still leased, hands the reachable ones on, and returns the reports that are final."""
    leased = still_leased(slots)
    kept = [slot for slot in slots if slot.device_id in leased]
    started, began = datetime.now(UTC), time.monotonic()
    try:
        echoes = ping(leased[slot.device_id].ip_address for slot in kept)
    except FpingFault as fault:
        logger.error("the ping stage cannot work, no device is held to be down: %s", fault)
        return [not_attempted(slot, str(fault)) for slot in kept]
    duration_ms = (time.monotonic() - began) * 1_000
    pinged = [(leased[slot.device_id], slot, echoes[leased[slot.device_id].ip_address]) for slot in kept]
    unsent = {echo.unsent for _, _, echo in pinged if echo.unsent}
    if unsent:
        logger.error("not every device can be sent a ping from here: %s", ", ".join(sorted(unsent)))
    send_to_poll(_reachable(pinged))
    return [
        _report(device, slot, echo, started, duration_ms)
        for device, slot, echo in pinged
        if not echo.is_alive or device.plugin_id == ICMP.id
    ]


def _reachable(pinged: Sequence[tuple[LeasedDevice, Slot, Echo]]) -> Iterator[tuple[str, PingedSlot]]:
    for device, slot, echo in pinged:
        if echo.is_alive and device.plugin_id != ICMP.id:
            yield device.plugin_id, PingedSlot(*slot, echo.rtt_ms, echo.loss_percent)


def _report(device: LeasedDevice, slot: Slot, echo: Echo, started: datetime, duration_ms: float) -> Report:
    """A device that did not answer or could not be asked, or a ping-only one, whose answer is its whole
    document.
    """
    if echo.unsent:
        return not_attempted(slot, f"no ping could be sent to it from this machine: {echo.unsent}")
    document = {"icmp": {"rtt_ms": echo.rtt_ms, "loss_percent": echo.loss_percent}}
    return Report(
        device_id=device.device_id,
        due_us=slot.due_us,
        kind=VerdictKind.OK if echo.is_alive else VerdictKind.PING_FAILED,
        started_us=to_microseconds(started),
        duration_ms=duration_ms,
        rtt_ms=echo.rtt_ms,
        loss_percent=echo.loss_percent,
        error_code="" if echo.is_alive else ErrorCode.UNREACHABLE.value,
        error="" if echo.is_alive else "no answer to ping",
        sampled_us=max(to_microseconds(started), slot.due_us) if echo.is_alive else None,
        document=orjson.dumps(document).decode() if echo.is_alive else None,
        is_counting=not echo.is_alive,
    )
