"""The devices that have the most of something in the newest sample of theirs."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from metrics.sample_rollups import IS_NUMBER, NUMBER

FRESH = timedelta(minutes=15)  # an older sample says nothing of now


@dataclass(frozen=True, slots=True)
class Busy:
    """`value` is in percent, or in milliseconds for the round trip."""

    device_id: int
    hostname: str
    value: float


def _number(path: str) -> str:
    """The number at a path of the document, or NULL: a plugin may send anything."""
    value = f"(data #> '{path}')"
    return f"CASE WHEN {IS_NUMBER.format(value=value)} THEN {NUMBER.format(value=value)} END"


def _percent(part: str, whole: str) -> str:
    """Of bytes; NULL of less than one, by which not every number can be divided."""
    return f"CASE WHEN {whole} >= 1 THEN 100 * ({part} / {whole}) END"


NAMES = ("cpu", "memory", "disk", "rtt")
RANKINGS = " UNION ALL ".join(
    f"""
SELECT '{name}' AS name, device_id, hostname, value FROM (
    SELECT device_id, {name} AS value FROM newest WHERE {name} IS NOT NULL
    ORDER BY {name} DESC, device_id LIMIT %(limit)s
) AS first JOIN devices_device ON id = device_id"""
    for name in NAMES
)
DRIVES = "$.disk.drives.* ? (@.total >= 1 && @.total <= 1e300 && @.free >= 0 && @.free <= 1e300)"
FREE = NUMBER.format(value="(drive -> 'free')")
# Of a disk the fullest drive: a total hides the one that runs over.
BUSIEST = f"""
WITH newest AS MATERIALIZED (
    SELECT state.device_id, {_number("{cpu,total}")} AS cpu,
           {_percent(_number("{memory,used}"), _number("{memory,total}"))} AS memory,
           (
               SELECT max(100 - {_percent(FREE, "(drive ->> 'total')::float8")})
               FROM jsonb_path_query(data, '{DRIVES}') AS drive
           ) AS disk,
           rtt_ms AS rtt
    FROM devices_pollstate AS state
    JOIN metrics_sample AS sample ON sample.device_id = state.device_id
        AND sample.due_at = state.newest_sample_at AND sample.due_at > %(earliest)s
    LEFT JOIN polling_verdict AS verdict ON verdict.device_id = state.device_id
        AND verdict.due_at = state.newest_sample_at AND verdict.due_at > %(earliest)s
    WHERE state.newest_sample_at > %(earliest)s AND state.next_poll_at IS NOT NULL
)
{RANKINGS}
ORDER BY name, value DESC, device_id
"""


def busiest(now: datetime, *, limit: int) -> dict[str, list[Busy]]:
    """The first `limit` devices by processor, memory, the fullest drive, and round trip."""
    found: dict[str, list[Busy]] = {name: [] for name in NAMES}
    with connection.cursor() as cursor:
        cursor.execute(BUSIEST, {"earliest": now - FRESH, "limit": limit})
        for name, *row in cursor.fetchall():
            found[name].append(Busy(*row))
    return found
