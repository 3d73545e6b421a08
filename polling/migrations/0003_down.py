"""How many verdicts of a rollup say that the device does not answer: the kinds alone do not tell."""

from django.db import migrations, models


LEVELS = ('1h', '1d')
# What it can have been at most; hours whose verdicts are all still there are counted anew by the roll-up.
GUESS = """
UPDATE polling_verdict_{name} SET down = ping_failed + poll_failed + auth_failed + timeout
WHERE ping_failed + poll_failed + auth_failed + timeout > 0
"""
MARK = """
INSERT INTO metrics_latemark (level, device_id, start_at)
SELECT 'verdicts.1h', device_id, start_at FROM polling_verdict_1h
WHERE poll_failed + auth_failed + timeout > 0
  AND start_at >= coalesce((SELECT until FROM metrics_trimmed WHERE "table" = 'polling_verdict'), '-infinity')
"""
# Each month's slots of a gap are a row of their own, so that a gap is dropped by the months it lies in.
SPLIT = """
WITH long AS (
    DELETE FROM polling_gap AS gap
    WHERE date_trunc('month', first_at AT TIME ZONE 'UTC') <>
          date_trunc('month', (first_at + (slots - 1) * make_interval(secs => interval_seconds)) AT TIME ZONE 'UTC')
    RETURNING *
)
INSERT INTO polling_gap (device_id, first_at, slots, interval_seconds)
SELECT device_id, min(slot_at), count(*), interval_seconds
FROM long CROSS JOIN LATERAL generate_series(
    first_at, first_at + (slots - 1) * make_interval(secs => interval_seconds),
    make_interval(secs => interval_seconds)
) AS slot_at
GROUP BY device_id, first_at, interval_seconds, date_trunc('month', slot_at AT TIME ZONE 'UTC')
"""


class Migration(migrations.Migration):

    dependencies = [
        ('polling', '0002_verdict_rollups'),
        ('metrics', '0003_trimmed'),
    ]

    operations = [
        *(
            migrations.RunSQL(
                f'ALTER TABLE polling_verdict_{name} ADD COLUMN down integer NOT NULL DEFAULT 0',
                f'ALTER TABLE polling_verdict_{name} DROP COLUMN down',
                state_operations=[migrations.AddField(f'verdictrollup{name}', 'down', models.IntegerField())],
            )
            for name in LEVELS
        ),
        *(migrations.RunSQL(GUESS.format(name=name), migrations.RunSQL.noop) for name in LEVELS),
        migrations.RunSQL(MARK, migrations.RunSQL.noop),
        migrations.RunSQL(SPLIT, migrations.RunSQL.noop),
    ]
