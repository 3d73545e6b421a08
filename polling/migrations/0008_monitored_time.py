"""Availability of all devices by hours, as time. Hours that there are already are added up by the next roll-ups."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("polling", "0007_skipped_once"), ("devices", "0012_outages")]

    operations = [
        migrations.AddField(
            model_name="fleethour", name="monitored_seconds", field=models.FloatField(null=True)
        ),
        migrations.AddField(model_name="fleethour", name="outage_seconds", field=models.FloatField(null=True)),
    ]
