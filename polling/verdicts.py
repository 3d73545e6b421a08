"""From a plugin's result to the verdict of its slot, and whether it counts against the device. Pure
functions.
"""

from datetime import datetime

from devices.schedule import to_microseconds
from plugins.contract import ErrorCode, Result
from polling.models import VerdictKind
from polling.slots import PingedSlot, Report, Slot

KINDS = {
    ErrorCode.AUTH: VerdictKind.AUTH_FAILED,
    ErrorCode.TIMEOUT: VerdictKind.TIMEOUT,
    ErrorCode.REFUSED: VerdictKind.POLL_FAILED,
    ErrorCode.UNREACHABLE: VerdictKind.POLL_FAILED,
    ErrorCode.PROTOCOL: VerdictKind.POLL_FAILED,
    ErrorCode.SCRIPT: VerdictKind.POLL_FAILED,
    ErrorCode.QUOTA: VerdictKind.POLL_FAILED,
    ErrorCode.INTERNAL: VerdictKind.PLUGIN_ERROR,
}
# A host that limits us is not broken, and our own faults are not the host's.
NOT_COUNTING = frozenset({ErrorCode.QUOTA, ErrorCode.INTERNAL})


def poll_report(
    pinged: PingedSlot, result: Result, *, started: datetime, arrived: datetime, duration_ms: float
) -> Report:
    """The sampling time is clamped between claim and arrival: a host's clock is its own affair. `duration_ms`
    is for a result that does not say how long it took.
    """
    if not result.success:
        return _failure(pinged, result, started, duration_ms)
    if result.data is None:
        result = Result(
            result.request_id, False, ErrorCode.INTERNAL, "the plugin reported success without data"
        )
        return _failure(pinged, result, started, duration_ms)
    sampled = min(max(result.sampled_at or arrived, pinged.slot.due_at), arrived)
    return Report(
        device_id=pinged.device_id,
        due_us=pinged.due_us,
        kind=VerdictKind.OK,
        started_us=to_microseconds(started),
        duration_ms=result.duration_ms if result.duration_ms is not None else duration_ms,
        rtt_ms=pinged.rtt_ms,
        loss_percent=pinged.loss_percent,
        sampled_us=to_microseconds(sampled),
        document=result.data,
    )


def _failure(pinged: PingedSlot, result: Result, started: datetime, duration_ms: float) -> Report:
    code = result.error_code or ErrorCode.INTERNAL
    return Report(
        device_id=pinged.device_id,
        due_us=pinged.due_us,
        kind=KINDS[code],
        started_us=to_microseconds(started),
        duration_ms=result.duration_ms if result.duration_ms is not None else duration_ms,
        rtt_ms=pinged.rtt_ms,
        loss_percent=pinged.loss_percent,
        attempted=result.was_attempted,
        error_code=code.value,
        error=result.error,
        # A login that was not even tried, because the account is left alone, says nothing new of the device.
        is_counting=result.was_attempted and code not in NOT_COUNTING,
    )


def not_attempted(slot: Slot, error: str, *, rtt_ms: float | None = None) -> Report:
    """`plugin_error` for a device that was never asked: our fault or our configuration's."""
    return Report(
        device_id=slot.device_id,
        due_us=slot.due_us,
        kind=VerdictKind.PLUGIN_ERROR,
        rtt_ms=rtt_ms,
        attempted=False,
        error_code=ErrorCode.INTERNAL.value,
        error=error[:500],
    )
