"""The scheduler's statements: claim what is due, end what has run out, mend what a jumping clock left.

docs/architecture.md has the rules in words. Any number of schedulers may run them at once: rows that one
works on are skipped by the others.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from metrics.rollups import writers_share

PING_LEASE_SECONDS = 5
SLACK_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Claimed:
    """A slot that this scheduler leased."""

    device_id: int
    due_at: datetime
    should_ping: bool
    plugin_id: str


# date_bin puts a moment onto the device's grid: origin + k × interval, exact and in the server.
#
# aimed: the latest grid point, or next_poll_at itself where that is later (a device just provisioned is due
#        off its grid).
# slot: due_at is what was aimed at. It never repeats: if it would, it is now. The next one keeps half an
#       interval's distance. skipped counts the slots that a stall left behind, from skipped_at on: they get
#       no verdict. Where the clock was set back and then ahead, those up to the last slot have their verdict
#       or gap from the first time. The first slot after provisioning is not skipped, though a grid point may
#       come before the tick.
# moved: without a lease, or with one that ran out, the new slot is leased; a live lease stays as it is.
# ledger: the old slot of a lease that ran out is `lost`, the new slot beside a live lease is an `overrun`.
#         A slot that has its answer already keeps it.
# gap: the skipped slots, one row for each device and month of theirs. A trigger notes those of a device whose
#      next slot is moved by something else: polling_note_skipped.
# late: hours of the ledger that were rolled up before we wrote into them.
#
# Each join says its ids twice, the second time as an array: that keeps the planner at the primary key. Left
# to itself it reads the whole table to join a few hundred rows.
CLAIM = """
WITH due AS MATERIALIZED (
    SELECT device_id, interval_seconds, grid_offset_ms, next_poll_at, last_due_at, lease_due_at, leased_until,
           make_interval(secs => interval_seconds) AS step,
           timestamptz 'epoch' + make_interval(secs => grid_offset_ms / 1000.0) AS origin
    FROM devices_pollstate
    WHERE next_poll_at <= now()
    ORDER BY next_poll_at
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), aimed AS (
    SELECT due.*, greatest(date_bin(step, now(), origin), next_poll_at) AS aimed_at,
           CASE WHEN last_due_at >= next_poll_at
                THEN date_bin(step, last_due_at, next_poll_at) + step ELSE next_poll_at END AS skipped_at
    FROM due
), slot AS MATERIALIZED (
    SELECT device_id, step, origin, lease_due_at, leased_until, skipped_at, interval_seconds,
           greatest(0, floor(extract(epoch FROM aimed_at - skipped_at) / interval_seconds))::int AS skipped,
           CASE WHEN aimed_at <= last_due_at THEN now() ELSE aimed_at END AS due_at,
           leased_until > now() AS is_leased
    FROM aimed
), moved AS (
    UPDATE devices_pollstate AS state
    SET next_poll_at = CASE
            WHEN date_bin(slot.step, slot.due_at, slot.origin) + slot.step < slot.due_at + slot.step / 2
            THEN date_bin(slot.step, slot.due_at, slot.origin) + 2 * slot.step
            ELSE date_bin(slot.step, slot.due_at, slot.origin) + slot.step END,
        last_due_at = greatest(state.last_due_at, slot.due_at),
        lease_due_at = CASE WHEN slot.is_leased THEN state.lease_due_at ELSE slot.due_at END,
        leased_until = CASE WHEN slot.is_leased THEN state.leased_until
                            ELSE now() + make_interval(secs => %(lease)s) END,
        last_polled_at = CASE WHEN state.leased_until <= now() THEN state.lease_due_at ELSE
        state.last_polled_at END, last_verdict = CASE WHEN state.leased_until <= now() THEN 'lost' ELSE
        state.last_verdict END
    FROM slot
    WHERE state.device_id = slot.device_id AND state.device_id = ANY (ARRAY(SELECT device_id FROM slot))
), ledger AS (
    INSERT INTO polling_verdict (device_id, due_at, kind, attempted)
    SELECT device_id, CASE WHEN is_leased THEN due_at ELSE lease_due_at END,
           CASE WHEN is_leased THEN 'overrun' ELSE 'lost' END, false
    FROM slot
    WHERE lease_due_at IS NOT NULL
    ON CONFLICT DO NOTHING
), gap AS (
    INSERT INTO polling_gap (device_id, first_at, slots, interval_seconds)
    SELECT device_id, part.first_at, part.slots, interval_seconds
    FROM slot CROSS JOIN LATERAL polling_gap_parts(skipped_at, skipped, interval_seconds) AS part
    WHERE skipped > 0
    ON CONFLICT DO NOTHING
), late AS (
    INSERT INTO metrics_latemark (level, device_id, start_at)
    SELECT sealed.level, slot.device_id, hour
    FROM metrics_rollupprogress AS sealed, slot CROSS JOIN LATERAL (
        SELECT date_bin('1 hour', lease_due_at, timestamptz 'epoch') AS hour WHERE lease_due_at IS NOT NULL
        UNION
        SELECT generate_series(date_bin('1 hour', skipped_at, timestamptz 'epoch'), due_at, '1 hour')
        WHERE skipped > 0
    ) AS touched
    WHERE sealed.level = 'verdicts.1h' AND hour < sealed.sealed_until
)
SELECT slot.device_id, slot.due_at, device.should_ping, device.plugin_id, coalesce(slot.is_leased, false)
FROM slot JOIN devices_device AS device
  ON device.id = slot.device_id AND device.id = ANY (ARRAY(SELECT device_id FROM slot))
"""

EXPIRE = """
WITH expired AS MATERIALIZED (
    SELECT device_id, lease_due_at FROM devices_pollstate
    WHERE leased_until <= now() AND (next_poll_at IS NULL OR next_poll_at > now())
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), ledger AS (
    INSERT INTO polling_verdict (device_id, due_at, kind, attempted)
    SELECT device_id, lease_due_at, 'lost', false FROM expired
    ON CONFLICT DO NOTHING
), late AS (
    INSERT INTO metrics_latemark (level, device_id, start_at)
    SELECT sealed.level, expired.device_id, date_bin('1 hour', lease_due_at, timestamptz 'epoch')
    FROM metrics_rollupprogress AS sealed, expired
    WHERE sealed.level = 'verdicts.1h' AND lease_due_at < sealed.sealed_until
)
UPDATE devices_pollstate AS state
SET lease_due_at = NULL, leased_until = NULL, last_polled_at = state.lease_due_at, last_verdict = 'lost'
FROM expired
WHERE state.device_id = expired.device_id AND state.device_id = ANY (ARRAY(SELECT device_id FROM expired))
"""

# After provisioning the next slot may be up to one and a half intervals after the last, so that alone is no
# sign; a last slot in the future is one.
IS_TOO_FAR = """
next_poll_at > statement_timestamp() + make_interval(secs => interval_seconds)
AND (last_due_at IS NULL OR last_due_at > statement_timestamp()
     OR next_poll_at > last_due_at + 1.5 * make_interval(secs => interval_seconds))"""
# A lease of before the jump would last as long as that was far.
IS_LONG = "leased_until > statement_timestamp() + make_interval(secs => %(lease)s)"
IS_AHEAD = "(last_polled_at > statement_timestamp() OR newest_sample_at > statement_timestamp())"
# In the order of the ids, as the store locks them.
LOCK_AHEAD = f"""
SELECT device_id FROM devices_pollstate WHERE ({IS_TOO_FAR}) OR {IS_LONG} OR {IS_AHEAD}
ORDER BY device_id FOR UPDATE
"""
RESET = f"""
UPDATE devices_pollstate
SET next_poll_at = date_bin(make_interval(secs => interval_seconds), statement_timestamp(),
                            timestamptz 'epoch' + make_interval(secs => grid_offset_ms / 1000.0))
                   + make_interval(secs => interval_seconds)
WHERE device_id = ANY(%(ids)s) AND {IS_TOO_FAR}
"""
RESET_LEASES = f"""
UPDATE devices_pollstate SET leased_until = statement_timestamp() + make_interval(secs => %(lease)s)
WHERE device_id = ANY(%(ids)s) AND {IS_LONG}
"""
# What was polled while the clock was ahead stays in the ledger, but is the newest of nothing.
RESET_NEWEST = f"""
UPDATE devices_pollstate AS state
SET last_polled_at = least(last_polled_at, statement_timestamp()),
    newest_sample_at = (SELECT max(due_at) FROM metrics_sample AS sample
                        WHERE sample.device_id = state.device_id AND sample.due_at <= statement_timestamp())
WHERE device_id = ANY(%(ids)s) AND {IS_AHEAD}
"""


# So are the slots that it skipped, which will be polled when their time comes.
DROP_GAPS = "DELETE FROM polling_gap WHERE first_at > now()"
CUT_GAPS = """
UPDATE polling_gap SET slots = floor(extract(epoch FROM now() - first_at) / interval_seconds)::int + 1
WHERE first_at >= now() - interval '31 days' AND first_at <= now()
  AND first_at + (slots - 1) * make_interval(secs => interval_seconds) > now()
"""


def slots_claim(*, limit: int, lease_seconds: float) -> tuple[list[Claimed], int]:
    """Claims up to `limit` due devices; returns the leased slots and how many rows were due, overruns
    included.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        writers_share(cursor)
        cursor.execute(CLAIM, {"limit": limit, "lease": lease_seconds})
        rows = cursor.fetchall()
    return [Claimed(*row[:4]) for row in rows if not row[4]], len(rows)


def leases_expire(*, limit: int) -> int:
    """Gives `lost` to leases that ran out on devices that are not due again; returns how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        writers_share(cursor)
        cursor.execute(EXPIRE, {"limit": limit})
        return int(cursor.rowcount)


def slots_reset(*, lease_seconds: float) -> int:
    """Moves back slots that lie too far ahead because the clock jumped back; returns how many. Leases end as
    soon as a new one would; newest polls that lie ahead give way to those that do not, and skipped slots that
    lie ahead are skipped no more.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        writers_share(cursor)
        cursor.execute(LOCK_AHEAD, {"lease": lease_seconds})
        of: dict[str, Any] = {
            "ids": [device_id for (device_id,) in cursor.fetchall()],
            "lease": lease_seconds,
        }
        cursor.execute(RESET, of)
        moved = int(cursor.rowcount)
        for statement in (RESET_LEASES, RESET_NEWEST, DROP_GAPS, CUT_GAPS):
            cursor.execute(statement, of)
        return moved
