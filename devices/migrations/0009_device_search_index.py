"""What is searched in the list of devices, without the rest of the rows."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("devices", "0008_device_failed")]

    operations = [
        migrations.AddIndex(
            model_name="device",
            index=models.Index(fields=["id"], include=["search_text", "status", "plugin_id"], name="device_search"),
        ),
    ]
