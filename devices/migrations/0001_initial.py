"""Credential profiles, devices, their run state and status changes."""

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='CredentialProfile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('name', models.CharField(max_length=128, unique=True)),
                ('description', models.TextField(blank=True, max_length=2000)),
                ('protocol', models.CharField(help_text='The id of the plugin that uses it.', max_length=32)),
                ('encrypted_payload', models.TextField(editable=False)),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='Device',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('hostname', models.CharField(max_length=255)),
                ('ip_address', models.GenericIPAddressField(verbose_name="IP address")),
                ('plugin_id', models.CharField(max_length=32)),
                ('port', models.PositiveIntegerField(validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(65535)])),
                ('polling_interval_seconds', models.PositiveIntegerField(default=60, validators=[django.core.validators.MinValueValidator(10), django.core.validators.MaxValueValidator(86400)])),
                ('should_ping', models.BooleanField(default=True, help_text='Ask fping first; poll only what answers.')),
                ('status', models.CharField(choices=[('discovered', 'discovered'), ('active', 'active'), ('inactive', 'inactive'), ('error', 'error')], db_index=True, default='discovered', max_length=16)),
                ('status_reason', models.CharField(blank=True, max_length=500)),
                ('status_since', models.DateTimeField()),
                ('credential_profile', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='devices', to='devices.credentialprofile')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='StatusChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('old_status', models.CharField(blank=True, choices=[('discovered', 'discovered'), ('active', 'active'), ('inactive', 'inactive'), ('error', 'error')], max_length=16)),
                ('new_status', models.CharField(choices=[('discovered', 'discovered'), ('active', 'active'), ('inactive', 'inactive'), ('error', 'error')], max_length=16)),
                ('reason', models.CharField(max_length=500)),
                ('at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='PollState',
            fields=[
                ('device', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='poll_state', serialize=False, to='devices.device')),
                ('interval_seconds', models.PositiveIntegerField()),
                ('grid_offset_ms', models.PositiveIntegerField()),
                ('next_poll_at', models.DateTimeField(null=True)),
                ('last_due_at', models.DateTimeField(null=True)),
                ('lease_due_at', models.DateTimeField(null=True)),
                ('leased_until', models.DateTimeField(null=True)),
                ('last_polled_at', models.DateTimeField(null=True)),
                ('last_verdict', models.CharField(blank=True, max_length=16)),
            ],
        ),
    ]
