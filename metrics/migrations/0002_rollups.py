"""Rollups of the samples over 5 minutes, hours and days, and how far they have come."""

import django.contrib.postgres.fields
from django.db import migrations, models


# lz4 reads several times faster than the default; values are compressed in rows above 2 kB. A server built without it,
# as the embedded one is, keeps the default.
COMPRESSION = """
DO $$
BEGIN
    ALTER TABLE metrics_sample ALTER COLUMN data SET COMPRESSION lz4;
    ALTER TABLE metrics_rollup_5m ALTER COLUMN last SET COMPRESSION lz4, ALTER COLUMN low SET COMPRESSION lz4,
        ALTER COLUMN high SET COMPRESSION lz4, ALTER COLUMN total SET COMPRESSION lz4;
    ALTER TABLE metrics_rollup_1h ALTER COLUMN last SET COMPRESSION lz4, ALTER COLUMN low SET COMPRESSION lz4,
        ALTER COLUMN high SET COMPRESSION lz4, ALTER COLUMN total SET COMPRESSION lz4;
    ALTER TABLE metrics_rollup_1d ALTER COLUMN last SET COMPRESSION lz4, ALTER COLUMN low SET COMPRESSION lz4,
        ALTER COLUMN high SET COMPRESSION lz4, ALTER COLUMN total SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END $$;
"""
# Fixed-width columns first. BRIN: a level's rows lie in the order of their intervals, and a ranking reads one
# interval of all devices.
ROLLUP = """
CREATE TABLE {table} (
    device_id bigint NOT NULL,
    start_at timestamptz NOT NULL,
    layout uuid NOT NULL,
    samples integer NOT NULL,
    last double precision[] NOT NULL,
    moved smallint[],
    low double precision[],
    high double precision[],
    total double precision[],
    counts smallint[],
    PRIMARY KEY (device_id, start_at)
) PARTITION BY RANGE (start_at);
CREATE INDEX {table}_start_at ON {table} USING brin (start_at) WITH (pages_per_range = 16);
CREATE TABLE {table}_default PARTITION OF {table} DEFAULT;
"""
NEWEST = """
UPDATE devices_pollstate AS state SET newest_sample_at = newest.due_at
FROM (SELECT device_id, max(due_at) AS due_at FROM metrics_sample GROUP BY device_id) AS newest
WHERE newest.device_id = state.device_id
"""
LEVELS = ("5m", "1h", "1d")


def arrays_of(field, null=True):
    return django.contrib.postgres.fields.ArrayField(base_field=field, null=null, size=None)


def level(name):
    """The model of one level's table; the table itself is made by SQL."""
    return migrations.CreateModel(
        name=f'Rollup{name}',
        fields=[
            ('pk', models.CompositePrimaryKey('device_id', 'start_at', blank=True, editable=False, primary_key=True, serialize=False)),
            ('device_id', models.BigIntegerField()),
            ('start_at', models.DateTimeField()),
            ('layout', models.UUIDField()),
            ('samples', models.IntegerField()),
            ('last', arrays_of(models.FloatField(), null=False)),
            ('moved', arrays_of(models.SmallIntegerField())),
            ('low', arrays_of(models.FloatField())),
            ('high', arrays_of(models.FloatField())),
            ('total', arrays_of(models.FloatField())),
            ('counts', arrays_of(models.SmallIntegerField())),
        ],
        options={
            'db_table': f'metrics_rollup_{name}',
            'abstract': False,
            'managed': False,
        },
    )


class Migration(migrations.Migration):

    dependencies = [
        ('metrics', '0001_initial'),
        ('devices', '0004_deletion'),
    ]

    operations = [
        migrations.CreateModel(
            name='Layout',
            fields=[
                ('id', models.UUIDField(primary_key=True, serialize=False)),
                ('paths', django.contrib.postgres.fields.ArrayField(base_field=models.TextField(), size=None)),
                ('used_on', models.DateField()),
            ],
        ),
        migrations.CreateModel(
            name='LateMark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('level', models.CharField(max_length=32)),
                ('device_id', models.BigIntegerField()),
                ('start_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='RollupProgress',
            fields=[
                ('level', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('done_until', models.DateTimeField()),
                ('sealed_until', models.DateTimeField()),
                ('device_id', models.BigIntegerField(default=0)),
                ('updated_at', models.DateTimeField(auto_now=True)),
            ],
        ),
        *(level(name) for name in LEVELS),
        *(
            migrations.RunSQL(ROLLUP.format(table=f'metrics_rollup_{name}'), f'DROP TABLE metrics_rollup_{name}')
            for name in LEVELS
        ),
        migrations.RunSQL(NEWEST, migrations.RunSQL.noop),
        migrations.RunSQL(COMPRESSION, migrations.RunSQL.noop),
    ]
