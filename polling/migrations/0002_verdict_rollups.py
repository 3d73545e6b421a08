"""Rollups of the ledger by hours and days, the fleet's hours, and the slots that a stall skipped."""

from django.db import migrations, models


COUNTS = (
    'rtt_count', 'loss_count', 'ok', 'ping_failed', 'poll_failed', 'auth_failed', 'timeout', 'plugin_error', 'overrun',
    'lost', 'skipped',
)
LEVELS = ('1h', '1d')

ROLLUP = """
CREATE TABLE polling_verdict_{name} (
    device_id bigint NOT NULL,
    start_at timestamptz NOT NULL,
    first_at timestamptz,
    rtt_min double precision,
    rtt_max double precision,
    rtt_total double precision NOT NULL,
    loss_total double precision NOT NULL,
    {counts},
    changes jsonb,
    PRIMARY KEY (device_id, start_at)
) PARTITION BY RANGE (start_at);
CREATE INDEX polling_verdict_{name}_start_at ON polling_verdict_{name} USING brin (start_at) WITH (pages_per_range = 16);
CREATE TABLE polling_verdict_{name}_default PARTITION OF polling_verdict_{name} DEFAULT;
"""
GAP = """
CREATE TABLE polling_gap (
    device_id bigint NOT NULL,
    first_at timestamptz NOT NULL,
    slots integer NOT NULL,
    interval_seconds integer NOT NULL,
    PRIMARY KEY (device_id, first_at)
) PARTITION BY RANGE (first_at);
CREATE TABLE polling_gap_default PARTITION OF polling_gap DEFAULT;
"""
# The hours of all devices are counted from the ledger before they are rolled up.
BY_TIME = "CREATE INDEX polling_verdict_due_at ON polling_verdict USING brin (due_at) WITH (pages_per_range = 16)"


def rollup_sql(name):
    return ROLLUP.format(name=name, counts=', '.join(f'{count} integer NOT NULL' for count in COUNTS))


def level(name):
    """The model of one level's table; the table itself is made by SQL."""
    return migrations.CreateModel(
        name=f'VerdictRollup{name}',
        fields=[
            ('pk', models.CompositePrimaryKey('device_id', 'start_at', blank=True, editable=False, primary_key=True, serialize=False)),
            ('device_id', models.BigIntegerField()),
            ('start_at', models.DateTimeField()),
            ('first_at', models.DateTimeField(null=True)),
            ('rtt_min', models.FloatField(null=True)),
            ('rtt_max', models.FloatField(null=True)),
            ('rtt_total', models.FloatField()),
            ('loss_total', models.FloatField()),
            *((count, models.IntegerField()) for count in COUNTS),
            ('changes', models.JSONField(null=True)),
        ],
        options={
            'db_table': f'polling_verdict_{name}',
            'abstract': False,
            'managed': False,
        },
    )


class Migration(migrations.Migration):

    dependencies = [
        ('polling', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Gap',
            fields=[
                ('pk', models.CompositePrimaryKey('device_id', 'first_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('device_id', models.BigIntegerField()),
                ('first_at', models.DateTimeField()),
                ('slots', models.IntegerField()),
                ('interval_seconds', models.IntegerField()),
            ],
            options={
                'db_table': 'polling_gap',
                'managed': False,
            },
        ),
        *(level(name) for name in LEVELS),
        migrations.CreateModel(
            name='FleetHour',
            fields=[
                ('start_at', models.DateTimeField(primary_key=True, serialize=False)),
                ('devices', models.IntegerField()),
                ('ok', models.IntegerField()),
                ('ping_failed', models.IntegerField()),
                ('poll_failed', models.IntegerField()),
                ('auth_failed', models.IntegerField()),
                ('timeout', models.IntegerField()),
                ('plugin_error', models.IntegerField()),
                ('overrun', models.IntegerField()),
                ('lost', models.IntegerField()),
                ('skipped', models.IntegerField()),
            ],
        ),
        migrations.RunSQL(GAP, 'DROP TABLE polling_gap'),
        *(migrations.RunSQL(rollup_sql(name), f'DROP TABLE polling_verdict_{name}') for name in LEVELS),
        migrations.RunSQL(BY_TIME, 'DROP INDEX polling_verdict_due_at'),
    ]
