"""What devices are searched by: devices/search.py."""

from django.db import migrations, models

# The audit says what people change; a column that PostgreSQL makes of others is none.
AUDIT = """
DROP TRIGGER IF EXISTS audit ON devices_device;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON devices_device
FOR EACH ROW EXECUTE FUNCTION accounts_audit('device', '', '{silent}', 'hostname', 'people')
"""


class Migration(migrations.Migration):
    dependencies = [("devices", "0005_roles"), ("accounts", "0002_audit")]

    operations = [
        migrations.AddField(
            model_name="device",
            name="search_text",
            field=models.GeneratedField(
                db_persist=True,
                expression=models.Func(
                    models.F("hostname"),
                    models.Func(models.F("ip_address"), function="host"),
                    arg_joiner=" || ' ' || ",
                    template="lower(%(expressions)s)",
                ),
                output_field=models.TextField(),
            ),
        ),
        migrations.AddIndex(
            model_name="device", index=models.Index(fields=["hostname", "id"], name="device_hostname")
        ),
        migrations.RunSQL(
            AUDIT.format(silent="updated_at,status_since,search_text"),
            AUDIT.format(silent="updated_at,status_since"),
        ),
    ]
