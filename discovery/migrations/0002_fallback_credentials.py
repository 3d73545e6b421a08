"""Further credentials of a discovery profile, tried in order."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0003_device_remembered'),
        ('discovery', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='FallbackCredential',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField()),
                ('credential_profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='fallbacks', to='devices.credentialprofile')),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='fallback_credentials', to='discovery.discoveryprofile')),
            ],
            options={
                'ordering': ['position'],
                'constraints': [models.UniqueConstraint(fields=('profile', 'credential_profile'), name='fallbackcredential_profile_credential_unique')],
            },
        ),
    ]
