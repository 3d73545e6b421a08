"""Round-trip time and loss of a device over any range, in steps."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from metrics.levels import Piece


@dataclass(frozen=True, slots=True)
class PingPoint:
    """One step; RTT in milliseconds, None where nothing answered. `count` is how many slots were pinged."""

    timestamp: datetime
    rtt_min: float | None
    rtt_avg: float | None
    rtt_max: float | None
    loss_percent: float | None
    count: int


PING_LEDGER = """
SELECT due_at AS at, rtt_ms AS rtt_min, rtt_ms AS rtt_max, coalesce(rtt_ms, 0) AS rtt_total,
       (rtt_ms IS NOT NULL)::int AS rtt_count, coalesce(loss_percent, 0) AS loss_total,
       (loss_percent IS NOT NULL)::int AS loss_count
FROM polling_verdict WHERE device_id = %(device)s AND due_at >= %(start{i})s AND due_at < %(end{i})s
"""
PING_LEVEL = """
SELECT start_at AS at, rtt_min, rtt_max, rtt_total, rtt_count, loss_total, loss_count
FROM {table} WHERE device_id = %(device)s AND start_at >= %(start{i})s AND start_at < %(end{i})s
"""
PING = """
SELECT date_bin(%(step)s, at, timestamptz 'epoch') AS bucket,
       min(rtt_min), sum(rtt_total) / nullif(sum(rtt_count), 0), max(rtt_max),
       sum(loss_total) / nullif(sum(loss_count), 0), sum(loss_count)::bigint
FROM ({parts}) AS part GROUP BY bucket HAVING sum(loss_count) > 0 ORDER BY bucket
"""


def ping_series(*, device_id: int, pieces: Iterable[Piece], step: timedelta) -> list[PingPoint]:
    """Return the points, oldest first, without the steps in which the device was not pinged."""
    values: dict[str, Any] = {"device": device_id, "step": step}
    parts = []
    for i, piece in enumerate(pieces):
        source = PING_LEVEL if piece.level else PING_LEDGER
        parts.append(source.format(i=i, table=piece.level.table if piece.level else ""))
        values[f"start{i}"], values[f"end{i}"] = piece.start, piece.end
    if not parts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(PING.format(parts=" UNION ALL ".join(parts)), values)
        return [PingPoint(*row) for row in cursor.fetchall()]
