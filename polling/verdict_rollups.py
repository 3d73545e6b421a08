"""The rollups of the ledger: what became of the slots of each device, by hours and days.

What says that a device answers is `ok`; that it does not, a failure of an attempt. A plugin's fault, a quota,
a login that was not tried and slots without an answer say neither.
"""

from collections import Counter
from datetime import timedelta

from metrics.rollups import WANTED, Ladder, Level
from polling.models import PROVISIONAL, VerdictKind

KINDS = tuple(kind.value for kind in VerdictKind)
COUNTS = (*KINDS, "skipped")
SUMS = (*COUNTS, "down")
UNANSWERED = (*PROVISIONAL, "skipped")
DOWN = ("ping_failed", "poll_failed", "auth_failed", "timeout")
# Whether a verdict says anything of the device: true up, false down, null neither.
IS_UP = f"""
CASE WHEN kind = 'ok' THEN true
     WHEN kind IN ({", ".join(f"'{kind}'" for kind in DOWN)})
          AND attempted AND error_code <> 'quota' THEN false
END"""


def skipped_slots(low: str, high: str) -> str:
    """One row for each slot of a `gap` in [low, high): no more of a long one is written out than is asked
    for.
    """
    return f"""
CROSS JOIN LATERAL (SELECT make_interval(secs => gap.interval_seconds) AS step) AS grid
CROSS JOIN LATERAL (SELECT
    greatest(0, ceil(extract(epoch FROM {low} - gap.first_at) / gap.interval_seconds)) AS first,
    least(gap.slots, ceil(extract(epoch FROM {high} - gap.first_at) / gap.interval_seconds)) - 1 AS last
) AS within
CROSS JOIN LATERAL generate_series(within.first::bigint, within.last::bigint) AS number
CROSS JOIN LATERAL (SELECT gap.first_at + number * step AS due_at) AS slot"""


# A gap never goes beyond the month in which it begins; see polling/claim.py.
OF_THESE_MONTHS = "gap.first_at >= {low} - interval '31 days' AND gap.first_at < {high}"


class Tally(Counter[str]):
    """How many slots came to what: the kinds of verdicts, and `skipped`."""

    @property
    def due(self) -> int:
        return self.total()

    @property
    def missing(self) -> int:
        return sum(self[kind] for kind in UNANSWERED)

    @property
    def answered(self) -> int:
        return self.due - self.missing


COLUMNS = (
    "device_id, start_at, first_at, rtt_min, rtt_max, rtt_total, loss_total, rtt_count, loss_count, "
    + ", ".join(COUNTS)
    + ", down, changes"
)
UPSERT = f"""
ON CONFLICT (device_id, start_at) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in COLUMNS.split(", ")[2:])}
"""

# changes: the verdicts that say otherwise than the one before them in their interval; kept where one says
# down.
CHANGES = """
, told AS (
    SELECT device_id, start_at, at, kind, error, is_up,
           lag(is_up) OVER (PARTITION BY device_id, start_at ORDER BY at) IS DISTINCT FROM is_up AS is_change
    FROM known
), changed AS (
    SELECT device_id, start_at, min(at) AS first_at,
           CASE WHEN NOT bool_and(is_up) THEN
               jsonb_agg(
                   jsonb_build_array((extract(epoch FROM at) * 1000000)::bigint, kind, error) ORDER BY at
               ) FILTER (WHERE is_change)
           END AS changes
    FROM told GROUP BY device_id, start_at
)"""

FROM_VERDICTS = (
    """
WITH source AS MATERIALIZED (
    SELECT source.*, date_bin(%(step)s, source.due_at, timestamptz 'epoch') AS start_at"""
    + WANTED.format(source="polling_verdict", column="due_at")
    + f"""
), gap AS (
    SELECT wanted.device_id, date_bin(%(step)s, due_at, timestamptz 'epoch') AS start_at, count(*) AS skipped
    FROM unnest(%(devices)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
        AS wanted (device_id, start_at, end_at)
    JOIN polling_gap AS gap ON gap.device_id = wanted.device_id
        AND {OF_THESE_MONTHS.format(low="wanted.start_at", high="wanted.end_at")}
    {skipped_slots("wanted.start_at", "wanted.end_at")}
    GROUP BY wanted.device_id, 2
), known AS (
    SELECT device_id, start_at, due_at AS at, kind, error, {IS_UP} AS is_up
    FROM source WHERE {IS_UP} IS NOT NULL
){CHANGES}, counted AS (
    SELECT device_id, start_at, min(rtt_ms) AS rtt_min, max(rtt_ms) AS rtt_max,
           coalesce(sum(rtt_ms), 0) AS rtt_total, coalesce(sum(loss_percent), 0) AS loss_total,
           count(rtt_ms) AS rtt_count, count(loss_percent) AS loss_count,
           {", ".join(f"count(*) FILTER (WHERE kind = '{kind}') AS {kind}" for kind in KINDS)},
           count(*) FILTER (WHERE NOT {IS_UP}) AS down
    FROM source GROUP BY device_id, start_at
)
INSERT INTO polling_verdict_1h ({COLUMNS})
SELECT device_id, start_at, first_at, rtt_min, rtt_max, coalesce(rtt_total, 0), coalesce(loss_total, 0),
       coalesce(rtt_count, 0), coalesce(loss_count, 0),
       {", ".join(f"coalesce({name}, 0)" for name in SUMS)}, changes
FROM counted FULL JOIN gap USING (device_id, start_at) LEFT JOIN changed USING (device_id, start_at)
"""
    + UPSERT
)

FROM_HOURS = (
    """
WITH source AS MATERIALIZED (
    SELECT source.*, date_bin(%(step)s, source.start_at, timestamptz 'epoch') AS day_at"""
    + WANTED.format(source="polling_verdict_1h", column="start_at")
    + f"""
), known AS (
    SELECT device_id, day_at AS start_at,
           timestamptz 'epoch' + (change ->> 0)::bigint * interval '1 microsecond' AS at,
           change ->> 1 AS kind, change ->> 2 AS error, change ->> 1 = 'ok' AS is_up
    FROM source CROSS JOIN LATERAL jsonb_array_elements(changes) AS change WHERE changes IS NOT NULL
    UNION ALL
    SELECT device_id, day_at, first_at, 'ok', '', true
    FROM source WHERE changes IS NULL AND first_at IS NOT NULL
){CHANGES}, counted AS (
    SELECT device_id, day_at AS start_at, min(rtt_min) AS rtt_min, max(rtt_max) AS rtt_max,
           sum(rtt_total) AS rtt_total, sum(loss_total) AS loss_total,
           sum(rtt_count) AS rtt_count, sum(loss_count) AS loss_count,
           {", ".join(f"sum({name}) AS {name}" for name in SUMS)}
    FROM source GROUP BY device_id, day_at
)
INSERT INTO polling_verdict_1d ({COLUMNS})
SELECT device_id, start_at, first_at, rtt_min, rtt_max, rtt_total, loss_total, rtt_count, loss_count,
       {", ".join(COUNTS)}, down, changes
FROM counted LEFT JOIN changed USING (device_id, start_at)
"""
    + UPSERT
)

# Hours in which nothing was polled count as well: devices may have been down in them. Their availability is
# added up later (polling/fleet.py), and so is that of the day after each, as long as the longest interval.
FLEET = f"""
WITH following AS (
    UPDATE polling_fleethour AS fleet SET monitored_seconds = NULL, outage_seconds = NULL
    WHERE start_at <> ALL(%(starts)s) AND EXISTS (
        SELECT FROM unnest(%(starts)s::timestamptz[]) AS made (start_at)
        WHERE fleet.start_at > made.start_at AND fleet.start_at <= made.start_at + interval '1 day'
    )
)
INSERT INTO polling_fleethour (start_at, devices, {", ".join(SUMS)})
SELECT wanted.start_at, count(hour.device_id), {", ".join(f"coalesce(sum({name}), 0)" for name in SUMS)}
FROM unnest(%(starts)s::timestamptz[]) AS wanted (start_at)
LEFT JOIN polling_verdict_1h AS hour ON hour.start_at = wanted.start_at AND hour.start_at = ANY(%(starts)s)
GROUP BY wanted.start_at
ON CONFLICT (start_at) DO UPDATE SET
    devices = excluded.devices, {", ".join(f"{name} = excluded.{name}" for name in SUMS)},
    monitored_seconds = NULL, outage_seconds = NULL
"""

VERDICTS = Ladder(
    "verdicts",
    (
        Level(
            key="verdicts.1h",
            name="1h",
            table="polling_verdict_1h",
            interval=timedelta(hours=1),
            source="polling_verdict",
            statement=FROM_VERDICTS,
            finish=FLEET,
            beside=("polling_gap",),
        ),
        Level(
            key="verdicts.1d",
            name="1d",
            table="polling_verdict_1d",
            interval=timedelta(days=1),
            source="polling_verdict_1h",
            statement=FROM_HOURS,
        ),
    ),
)
