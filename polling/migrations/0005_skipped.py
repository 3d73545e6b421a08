"""Slots that a stall left behind are noted also where something else than the claim moves a device's next slot."""

from django.db import migrations

# The slots of a gap, with those of each month in a row of their own: a gap is dropped by the months it lies in.
PARTS = """
CREATE FUNCTION polling_gap_parts(gap_at timestamptz, gap_slots integer, interval_seconds integer)
RETURNS TABLE (first_at timestamptz, slots integer) LANGUAGE sql STABLE AS $$
    SELECT gap_at + first * make_interval(secs => interval_seconds), past - first
    FROM generate_series(
        date_trunc('month', gap_at, 'UTC'), gap_at + (gap_slots - 1) * make_interval(secs => interval_seconds),
        interval '1 month', 'UTC'
    ) AS month CROSS JOIN LATERAL (SELECT
        greatest(0, ceil(extract(epoch FROM month - gap_at) / interval_seconds))::int AS first,
        least(gap_slots, ceil(
            extract(epoch FROM date_trunc('month', month + interval '32 days', 'UTC') - gap_at) / interval_seconds
        ))::int AS past
    ) AS within
    WHERE past > first
$$
"""
# The locks and marks of whoever writes what is rolled up: metrics/rollups.py. The last slot is not counted: it has been
# due for less than an interval, as it is when a tick is a second late.
NOTE = """
CREATE FUNCTION polling_note_skipped() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    skipped integer := floor(extract(epoch FROM now() - OLD.next_poll_at) / OLD.interval_seconds);
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('nms.rollups.seal'));
    INSERT INTO polling_gap (device_id, first_at, slots, interval_seconds)
    SELECT OLD.device_id, part.first_at, part.slots, OLD.interval_seconds
    FROM polling_gap_parts(OLD.next_poll_at, skipped, OLD.interval_seconds) AS part
    ON CONFLICT DO NOTHING;
    INSERT INTO metrics_latemark (level, device_id, start_at)
    SELECT sealed.level, OLD.device_id, hour
    FROM metrics_rollupprogress AS sealed, generate_series(
        date_bin('1 hour', OLD.next_poll_at, timestamptz 'epoch'), now(), interval '1 hour'
    ) AS hour
    WHERE sealed.level = 'verdicts.1h' AND hour < sealed.sealed_until;
    RETURN NULL;
END
$$
"""
# Not for the claim, which has a new last slot and notes the gaps of all its devices at once.
TRIGGER = """
CREATE TRIGGER skipped AFTER UPDATE OF next_poll_at ON devices_pollstate FOR EACH ROW
WHEN (NEW.last_due_at IS NOT DISTINCT FROM OLD.last_due_at
      AND OLD.next_poll_at <= now() - make_interval(secs => OLD.interval_seconds)
      AND (NEW.next_poll_at IS NULL OR NEW.next_poll_at >= now()))
EXECUTE FUNCTION polling_note_skipped()
"""


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0009_device_search_index'),
        ('metrics', '0003_trimmed'),
        ('polling', '0004_audit_parked'),
    ]

    operations = [
        migrations.RunSQL(PARTS, 'DROP FUNCTION polling_gap_parts'),
        migrations.RunSQL(NOTE, 'DROP FUNCTION polling_note_skipped'),
        migrations.RunSQL(TRIGGER, 'DROP TRIGGER skipped ON devices_pollstate'),
    ]
