"""Which devices left the schedule by themselves, and changes of status found by their time."""

from django.db import migrations, models

# The audit says what people change.
AUDIT = """
DROP TRIGGER IF EXISTS audit ON devices_device;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON devices_device
FOR EACH ROW EXECUTE FUNCTION accounts_audit('device', '', '{silent}', 'hostname', 'people')
"""
KNOWN = """
UPDATE devices_device SET has_failed = true
WHERE status = 'error' OR (status = 'inactive' AND status_reason LIKE '% failures within the window, %')
"""


class Migration(migrations.Migration):
    dependencies = [("devices", "0007_device_status"), ("accounts", "0002_audit")]

    operations = [
        migrations.AddField(
            model_name="device",
            name="has_failed",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.RunSQL(
            AUDIT.format(silent="updated_at,status_since,search_text,has_failed"),
            AUDIT.format(silent="updated_at,status_since,search_text"),
        ),
        migrations.AddIndex(
            model_name="device",
            index=models.Index(
                fields=["status_since"], name="device_failed", condition=models.Q(has_failed=True)
            ),
        ),
        migrations.AddIndex(
            model_name="statuschange", index=models.Index(fields=["at"], name="statuschange_at")
        ),
        migrations.RunSQL(KNOWN, migrations.RunSQL.noop),
    ]
