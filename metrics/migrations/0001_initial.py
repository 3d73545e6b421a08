"""The samples, partitioned by day and therefore made by SQL."""

from django.db import migrations, models


SAMPLES = """
CREATE TABLE metrics_sample (
    device_id bigint NOT NULL,
    due_at timestamptz NOT NULL,
    sampled_at timestamptz NOT NULL,
    data jsonb NOT NULL,
    PRIMARY KEY (device_id, due_at)
) PARTITION BY RANGE (due_at);
CREATE TABLE metrics_sample_default PARTITION OF metrics_sample DEFAULT;
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Sample',
            fields=[
                ('pk', models.CompositePrimaryKey('device_id', 'due_at', blank=True, editable=False, primary_key=True, serialize=False)),
                ('device_id', models.BigIntegerField()),
                ('due_at', models.DateTimeField()),
                ('sampled_at', models.DateTimeField()),
                ('data', models.JSONField()),
            ],
            options={
                'db_table': 'metrics_sample',
                'managed': False,
            },
        ),
        migrations.RunSQL(SAMPLES, 'DROP TABLE metrics_sample'),
    ]
