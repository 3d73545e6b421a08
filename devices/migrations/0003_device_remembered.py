"""Facts that a plugin has the server keep for a device. Old code may go on inserting without them."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0002_device_relations'),
    ]

    operations = [
        migrations.AddField(
            model_name='device',
            name='remembered',
            field=models.JSONField(blank=True, db_default={}, default=dict, editable=False),
        ),
    ]
