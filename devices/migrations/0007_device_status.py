"""Counts of lists by status and plugin, from an index alone."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0006_device_search")]

    operations = [
        migrations.AlterField(
            model_name="device",
            name="status",
            field=models.CharField(
                choices=[
                    ("discovered", "discovered"),
                    ("active", "active"),
                    ("inactive", "inactive"),
                    ("error", "error"),
                ],
                default="discovered",
                max_length=16,
            ),
        ),
        migrations.AddIndex(
            model_name="device",
            index=models.Index(fields=["status", "plugin_id"], name="device_status_plugin"),
        ),
    ]
