"""Deactivations by failures in the record of changes, who acknowledged a failure, and natural order of names."""

from django.db import migrations, models

AUDIT = """
DROP TRIGGER IF EXISTS audit ON devices_device;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON devices_device
FOR EACH ROW EXECUTE FUNCTION accounts_audit('device', '', '{silent}', 'hostname', 'people')
"""
# Until now an acknowledgement was noted by setting has_failed to false.
ACKNOWLEDGED = """
UPDATE devices_device SET has_failed = true, acknowledged_at = now()
WHERE NOT has_failed AND (
    status = 'error' OR (status = 'inactive' AND status_reason LIKE '% failures within the window, the last: %')
)
"""
# The audit records what people change, an acknowledgement included.
SILENT = "updated_at,status_since,search_text,has_failed"


class Migration(migrations.Migration):
    dependencies = [("devices", "0011_hostname_checks"), ("accounts", "0005_audit_of_users")]

    operations = [
        migrations.AddField(
            model_name="statuschange", name="has_failed", field=models.BooleanField(null=True)
        ),
        migrations.AddField(
            model_name="device",
            name="acknowledged_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="device",
            name="acknowledged_by",
            field=models.CharField(blank=True, db_default="", editable=False, max_length=150),
        ),
        migrations.AddField(
            model_name="device",
            name="sort_name",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Func(
                    models.F("hostname"),
                    template=r"regexp_replace(regexp_replace(lower(%(expressions)s), '(\d+)', "
                    r"'000000000\1', 'g'), '0*(\d{10,})', '\1', 'g')",
                ),
                output_field=models.TextField(),
            ),
        ),
        migrations.AddIndex(
            model_name="device", index=models.Index(fields=["sort_name", "id"], name="device_sort_name")
        ),
        migrations.RunSQL(ACKNOWLEDGED, migrations.RunSQL.noop),
        # Lists are ordered by the column above instead.
        migrations.RemoveIndex(model_name="device", name="device_hostname"),
        migrations.RunSQL(AUDIT.format(silent=f"{SILENT},sort_name"), AUDIT.format(silent=SILENT)),
    ]
