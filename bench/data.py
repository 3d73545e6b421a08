"""Devices in quantity, straight into the tables: the benchmarks measure what comes after."""

from django.db import connection

from devices.crypto import payload_encrypt
from devices.models import CredentialProfile

DEVICES = """
INSERT INTO devices_device (
    hostname, ip_address, plugin_id, port, credential_profile_id, polling_interval_seconds, should_ping,
    status, status_reason, status_since, created_at, updated_at
)
SELECT
    'host-' || n, %(first)s::inet + n, %(plugin)s, %(port)s, %(credential)s, %(interval)s, true,
    'active', 'bench', now(), now(), now()
FROM generate_series(0, %(count)s - 1) AS n
"""
# Due times spread over one interval from now on, as a schedule that has run for a while has them.
STATES = """
INSERT INTO devices_pollstate (device_id, interval_seconds, grid_offset_ms, next_poll_at, last_verdict)
SELECT id, extract(epoch FROM step), offset_ms, date_bin(step, now(), origin) + step, ''
FROM devices_device
CROSS JOIN LATERAL (SELECT make_interval(secs => polling_interval_seconds) AS step) AS interval
CROSS JOIN LATERAL (
    SELECT (hashint8(id)::bigint & 2147483647) % (polling_interval_seconds * 1000) AS offset_ms
) AS hash
CROSS JOIN LATERAL (SELECT timestamptz 'epoch' + make_interval(secs => offset_ms / 1000.0) AS origin) AS grid
"""


def devices_make(
    *, count: int, plugin_id: str, first: str, port: int, payload: dict[str, str], interval_seconds: int = 60
) -> None:
    """Replaces all devices by `count` active ones with addresses from `first` on."""
    clear()
    credential = CredentialProfile.objects.create(
        name="bench", protocol=plugin_id, encrypted_payload=payload_encrypt(payload)
    )
    with connection.cursor() as cursor:
        values: dict[str, str | int] = {
            "first": first,
            "plugin": plugin_id,
            "port": port,
            "credential": credential.pk,
            "interval": interval_seconds,
            "count": count,
        }
        cursor.execute(DEVICES, values)
        cursor.execute(STATES)
        cursor.execute("ANALYZE devices_device, devices_pollstate")


def clear() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE polling_verdict, metrics_sample, devices_device, devices_credentialprofile CASCADE"
        )
