"""A slot that has its verdict from before the clock was set back is not noted as skipped when it is set ahead again."""

from importlib import import_module

from django.db import migrations

# As polling_note_skipped of 0005_skipped, but from the first slot after the last one on.
NOTE = """
CREATE OR REPLACE FUNCTION polling_note_skipped() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    step interval := make_interval(secs => OLD.interval_seconds);
    skipped_at timestamptz := CASE WHEN OLD.last_due_at >= OLD.next_poll_at
        THEN date_bin(step, OLD.last_due_at, OLD.next_poll_at) + step ELSE OLD.next_poll_at END;
    skipped integer := greatest(0, floor(extract(epoch FROM now() - skipped_at) / OLD.interval_seconds));
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('nms.rollups.seal'));
    INSERT INTO polling_gap (device_id, first_at, slots, interval_seconds)
    SELECT OLD.device_id, part.first_at, part.slots, OLD.interval_seconds
    FROM polling_gap_parts(skipped_at, skipped, OLD.interval_seconds) AS part
    ON CONFLICT DO NOTHING;
    INSERT INTO metrics_latemark (level, device_id, start_at)
    SELECT sealed.level, OLD.device_id, hour
    FROM metrics_rollupprogress AS sealed, generate_series(
        date_bin('1 hour', skipped_at, timestamptz 'epoch'), now(), interval '1 hour'
    ) AS hour
    WHERE sealed.level = 'verdicts.1h' AND hour < sealed.sealed_until;
    RETURN NULL;
END
$$
"""
BEFORE = import_module("polling.migrations.0005_skipped").NOTE.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")


class Migration(migrations.Migration):

    dependencies = [
        ("polling", "0006_fleet_down"),
    ]

    operations = [
        migrations.RunSQL(NOTE, BEFORE),
    ]
