"""The slots of a device: a grid of its own, spread over the interval by a hash of its id. Pure functions."""

import zlib
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Since the epoch, exact."""
    return (moment - EPOCH) // MICROSECOND


def from_microseconds(value: int) -> datetime:
    return EPOCH + value * MICROSECOND


def device_hash(device_id: int) -> int:
    """The same 32 bits for a device on every machine and after every restart."""
    return zlib.crc32(device_id.to_bytes(8, "big"))


def grid_offset_ms(device_id: int, interval_seconds: int) -> int:
    return device_hash(device_id) % (interval_seconds * 1_000)


def next_slot(now: datetime, interval_seconds: int, offset_ms: int) -> datetime:
    """The first grid point after `now`."""
    interval = timedelta(seconds=interval_seconds)
    origin = EPOCH + timedelta(milliseconds=offset_ms)
    return origin + ((now - origin) // interval + 1) * interval
