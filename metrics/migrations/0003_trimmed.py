"""What retention has dropped, layouts by the levels that use them, and the samples' index on time."""

from django.db import migrations, models


LEVELS = ('5m', '1h', '1d')
USED = """
UPDATE metrics_layout SET used_5m = used_on, used_1h = used_on, used_1d = used_on
"""
# Rows lie in the order of their times: a short range of all devices is found without reading the day.
BY_TIME = 'CREATE INDEX metrics_sample_due_at ON metrics_sample USING brin (due_at) WITH (pages_per_range = 16)'


class Migration(migrations.Migration):

    dependencies = [
        ('metrics', '0002_rollups'),
    ]

    operations = [
        migrations.CreateModel(
            name='Trimmed',
            fields=[
                ('table', models.CharField(max_length=63, primary_key=True, serialize=False)),
                ('until', models.DateTimeField()),
            ],
        ),
        *(migrations.AddField('layout', f'used_{level}', models.DateField(null=True)) for level in LEVELS),
        migrations.RunSQL(USED, migrations.RunSQL.noop),
        migrations.RemoveField('layout', 'used_on'),
        migrations.RunSQL(BY_TIME, 'DROP INDEX metrics_sample_due_at'),
    ]
