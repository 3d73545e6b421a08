"""What needs the discovery profiles to exist, and the indexes."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0001_initial'),
        ('discovery', '0001_initial'),
    ]

    operations = [
        migrations.AddField(
            model_name='device',
            name='discovery_profile',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='devices', to='discovery.discoveryprofile'),
        ),
        migrations.AddField(
            model_name='statuschange',
            name='device',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='status_changes', to='devices.device'),
        ),
        migrations.AddIndex(
            model_name='pollstate',
            index=models.Index(condition=models.Q(('next_poll_at__isnull', False)), fields=['next_poll_at'], name='pollstate_due'),
        ),
        migrations.AddIndex(
            model_name='pollstate',
            index=models.Index(condition=models.Q(('leased_until__isnull', False)), fields=['leased_until'], name='pollstate_leased'),
        ),
        migrations.AddConstraint(
            model_name='device',
            constraint=models.UniqueConstraint(fields=('ip_address', 'port'), name='device_ip_port_unique'),
        ),
        migrations.AddIndex(
            model_name='statuschange',
            index=models.Index(fields=['device', '-at'], name='statuschange_device_at'),
        ),
        # Every poll updates its row twice: room on the page keeps the new version beside the old one.
        migrations.RunSQL('ALTER TABLE devices_pollstate SET (fillfactor = 50)', migrations.RunSQL.noop),
    ]
