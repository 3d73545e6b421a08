"""The verdict ledger, partitioned and therefore made by SQL, and the parked messages."""

from django.db import migrations, models


# Eight-byte columns first: no padding between them.
LEDGER = """
CREATE TABLE polling_verdict (
    device_id bigint NOT NULL,
    due_at timestamptz NOT NULL,
    started_at timestamptz,
    duration_ms double precision,
    rtt_ms double precision,
    loss_percent double precision,
    attempted boolean NOT NULL,
    kind text NOT NULL,
    error_code text NOT NULL DEFAULT '',
    error text NOT NULL DEFAULT '',
    PRIMARY KEY (device_id, due_at)
) PARTITION BY RANGE (due_at);
CREATE TABLE polling_verdict_default PARTITION OF polling_verdict DEFAULT;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Verdict',
            fields=[
                ('pk', models.CompositePrimaryKey('device_id', 'due_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('device_id', models.BigIntegerField()),
                ('due_at', models.DateTimeField()),
                ('kind', models.CharField(choices=[('ok', 'ok'), ('ping_failed', 'ping failed'), ('poll_failed', 'poll failed'), ('auth_failed', 'login failed'), ('timeout', 'timeout'), ('plugin_error', 'plugin error'), ('overrun', 'overrun'), ('lost', 'lost')], max_length=16)),
                ('started_at', models.DateTimeField(null=True)),
                ('duration_ms', models.FloatField(null=True)),
                ('rtt_ms', models.FloatField(null=True)),
                ('loss_percent', models.FloatField(null=True)),
                ('attempted', models.BooleanField()),
                ('error_code', models.CharField(blank=True, max_length=16)),
                ('error', models.TextField(blank=True)),
            ],
            options={
                'db_table': 'polling_verdict',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='ParkedMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('task_id', models.CharField(max_length=64, unique=True)),
                ('body', models.JSONField()),
                ('parked_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['-parked_at'],
            },
        ),
        migrations.RunSQL(LEDGER, 'DROP TABLE polling_verdict'),
    ]
