"""The guard before each stage: of the slots in a message, those whose lease is still theirs and has time
left.

The others have their verdict already, or will get `lost`: working on them would poll a device late or twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from django.db import connection

from devices.schedule import from_microseconds
from polling.slots import Slot

# The arrays at the end say nothing new, but keep the planner at the primary keys.
GUARD = """
SELECT state.device_id, extract(epoch FROM state.leased_until - now())::float8,
       host(device.ip_address), device.port, device.plugin_id, device.credential_profile_id, device.remembered
FROM unnest(%s::bigint[], %s::timestamptz[]) AS slot (device_id, due_at)
JOIN devices_pollstate AS state ON state.device_id = slot.device_id AND state.lease_due_at = slot.due_at
JOIN devices_device AS device ON device.id = slot.device_id
WHERE state.leased_until > now()
  AND state.device_id = ANY(%s::bigint[]) AND device.id = ANY(%s::bigint[])
"""


@dataclass(frozen=True, slots=True)
class LeasedDevice:
    """What a stage needs to know of a device; `seconds_left` is the rest of its lease."""

    device_id: int
    seconds_left: float
    ip_address: str
    port: int
    plugin_id: str
    credential_profile_id: int
    remembered: dict[str, str]


def still_leased(slots: Sequence[Slot]) -> dict[int, LeasedDevice]:
    """By device id; one query."""
    if not slots:
        return {}
    devices = [slot.device_id for slot in slots]
    moments = [from_microseconds(slot.due_us) for slot in slots]
    with connection.cursor() as cursor:
        cursor.execute(GUARD, [devices, moments, devices, devices])
        # Django has psycopg leave jsonb as text.
        leased = [
            LeasedDevice(device_id, seconds, address, port, plugin_id, profile_id, orjson.loads(remembered))
            for device_id, seconds, address, port, plugin_id, profile_id, remembered in cursor.fetchall()
        ]
    return {device.device_id: device for device in leased}
