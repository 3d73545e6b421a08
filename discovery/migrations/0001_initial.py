"""Discovery profiles, runs and results."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('devices', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='DiscoveryProfile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('name', models.CharField(max_length=128, unique=True)),
                ('target', models.TextField(help_text='Addresses, networks and ranges, separated by commas.', max_length=20000)),
                ('port', models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(65535)])),
                ('ping_first', models.BooleanField(default=True, help_text='Probe only what answers fping.')),
                ('auto_provision', models.BooleanField(default=False, help_text='Poll what is found at once.')),
                ('polling_interval_seconds', models.PositiveIntegerField(default=60, validators=[django.core.validators.MinValueValidator(10), django.core.validators.MaxValueValidator(86400)])),
                ('credential_profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='discovery_profiles', to='devices.credentialprofile')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='DiscoveryRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('status', models.CharField(choices=[('queued', 'queued'), ('running', 'running'), ('done', 'done'), ('failed', 'failed')], default='queued', max_length=16)),
                ('target', models.TextField()),
                ('total', models.PositiveIntegerField()),
                ('cursor', models.PositiveIntegerField(default=0)),
                ('error', models.CharField(blank=True, max_length=500)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('progressed_at', models.DateTimeField(auto_now_add=True)),
                ('started_at', models.DateTimeField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='discovery.discoveryprofile')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='DiscoveryResult',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('target', models.GenericIPAddressField()),
                ('outcome', models.CharField(choices=[('created', 'created'), ('known', 'known'), ('failed', 'failed')], max_length=16)),
                ('error_code', models.CharField(blank=True, max_length=16)),
                ('error', models.CharField(blank=True, max_length=500)),
                ('hostname', models.CharField(blank=True, max_length=255)),
                ('device', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='devices.device')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='results', to='discovery.discoveryrun')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.AddIndex(
            model_name='discoveryrun',
            index=models.Index(condition=models.Q(('status__in', ['queued', 'running'])), fields=['progressed_at'], name='discoveryrun_open'),
        ),
        migrations.AddConstraint(
            model_name='discoveryresult',
            constraint=models.UniqueConstraint(fields=('run', 'target'), name='discoveryresult_run_target_unique'),
        ),
    ]
