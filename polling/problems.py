"""What is wrong now: devices that are down and not acknowledged, do not answer, or come and go."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from polling.states import FAILING_VERDICTS

LOOKED_BACK = timedelta(hours=6)  # for what the last failure of a device that is still polled said
FLAPPING_RANGE = timedelta(hours=24)
FLAPPING_CHANGES = 4  # down twice, up twice


@dataclass(frozen=True, slots=True)
class Problem:
    """`state` is `down` (its failures took it off the schedule), `error` (its configuration did), or what
    came of its last poll while it is active, since its newest sample; None where there never was one.
    """

    device_id: int
    hostname: str
    ip_address: str
    state: str
    since: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class Flapping:
    """How often within FLAPPING_RANGE a device went off the schedule, or was brought back."""

    device_id: int
    hostname: str
    ip_address: str
    changes: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Problems:
    """`newest` and `longest` are the ends of one list of `total`."""

    total: int
    newest: list[Problem]
    longest: list[Problem]


PROBLEMS = """
WITH problems AS MATERIALIZED (
    SELECT id AS device_id, hostname, host(ip_address) AS address,
           CASE status WHEN 'error' THEN status ELSE 'down' END AS state, status_since AS since,
           status_reason AS reason
    FROM devices_device WHERE (has_failed OR status = 'error')
      AND (acknowledged_at IS NULL OR acknowledged_at < status_since)
    UNION ALL
    SELECT id, hostname, host(ip_address), last_verdict, newest_sample_at, NULL
    FROM devices_pollstate JOIN devices_device ON id = device_id AND status = 'active'
    WHERE last_verdict = ANY(%(failing)s) AND next_poll_at IS NOT NULL
), ranked AS (
    SELECT *, row_number() OVER (ORDER BY since DESC NULLS LAST, device_id DESC) AS newest,
           row_number() OVER (ORDER BY since NULLS FIRST, device_id) AS longest,
           count(*) OVER () AS total
    FROM problems
)
SELECT device_id, hostname, address, state, since, coalesce(reason, last.error, ''), newest, longest, total
FROM ranked LEFT JOIN LATERAL (
    SELECT error FROM polling_verdict AS verdict
    WHERE ranked.reason IS NULL AND verdict.device_id = ranked.device_id AND due_at > %(earliest)s
      AND kind = ANY(%(failing)s)
    ORDER BY due_at DESC LIMIT 1
) AS last ON true
WHERE newest <= %(limit)s OR longest <= %(limit)s
"""
FLAPPING = """
SELECT device_id, hostname, host(ip_address), changes, last_at
FROM (
    SELECT device_id, count(*) AS changes, max(at) AS last_at FROM devices_statuschange
    WHERE at > %(earliest)s AND old_status <> new_status AND 'active' IN (old_status, new_status)
    AND old_status NOT IN ('', 'discovered')
    GROUP BY device_id HAVING count(*) >= %(least)s
) AS changed
JOIN devices_device ON id = device_id
ORDER BY changes DESC, last_at DESC LIMIT %(limit)s
"""


def problems_now(now: datetime, *, limit: int) -> Problems:
    """The `limit` newest and the `limit` longest."""
    values: dict[str, Any] = {
        "failing": list(FAILING_VERDICTS),
        "earliest": now - LOOKED_BACK,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(PROBLEMS, values)
        rows = cursor.fetchall()
    newest = [Problem(*row[:6]) for row in sorted(rows, key=_newest) if _newest(row) <= limit]
    longest = [Problem(*row[:6]) for row in sorted(rows, key=_longest) if _longest(row) <= limit]
    return Problems(rows[0][8] if rows else 0, newest, longest)


def _newest(row: tuple[Any, ...]) -> int:
    return int(row[6])


def _longest(row: tuple[Any, ...]) -> int:
    return int(row[7])


def flapping(now: datetime, *, limit: int) -> list[Flapping]:
    """Those that changed most often."""
    values: dict[str, Any] = {"earliest": now - FLAPPING_RANGE, "least": FLAPPING_CHANGES, "limit": limit}
    with connection.cursor() as cursor:
        cursor.execute(FLAPPING, values)
        return [Flapping(*row) for row in cursor.fetchall()]
