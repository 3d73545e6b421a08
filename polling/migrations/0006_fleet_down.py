"""How many verdicts of a fleet's hour say that a device does not answer: the kinds alone do not tell."""

from django.db import migrations, models

COUNT = """
UPDATE polling_fleethour AS fleet SET down = hour.down
FROM (SELECT start_at, sum(down) AS down FROM polling_verdict_1h GROUP BY start_at) AS hour
WHERE hour.start_at = fleet.start_at AND hour.down > 0
"""


class Migration(migrations.Migration):

    dependencies = [('polling', '0005_skipped')]

    operations = [
        migrations.AddField('fleethour', 'down', models.IntegerField(db_default=0, default=0)),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
    ]
