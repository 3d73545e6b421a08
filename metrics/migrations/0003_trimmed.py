"""What retention has dropped, and layouts by the levels that use them."""

from django.db import migrations, models


LEVELS = ('5m', '1h', '1d')
USED = """
UPDATE metrics_layout SET used_5m = used_on, used_1h = used_on, used_1d = used_on
"""
# Before the oldest partition there is something that has been dropped, for all that can be known.
DROPPED = r"""
INSERT INTO metrics_trimmed ("table", until)
SELECT parent.relname,
       min(to_timestamp(right(child.relname, 8), 'YYYYMMDD')::timestamp AT TIME ZONE 'UTC')
FROM pg_inherits
JOIN pg_partitioned_table ON partrelid = inhparent
JOIN pg_class AS parent ON parent.oid = inhparent
JOIN pg_class AS child ON child.oid = inhrelid
WHERE child.relname ~ '_\d{8}$' AND parent.relname ~ '^(metrics|polling)_'
GROUP BY parent.relname
"""


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
        migrations.RunSQL(DROPPED, migrations.RunSQL.noop),
        *(migrations.AddField('layout', f'used_{level}', models.DateField(null=True)) for level in LEVELS),
        migrations.RunSQL(USED, migrations.RunSQL.noop),
        migrations.RemoveField('layout', 'used_on'),
    ]
