"""Names are one line without control characters, and their accents are composed, so that searches find them."""

from django.db import migrations, models

import devices.models

CLEAN = r"""
UPDATE devices_device
SET hostname = coalesce(nullif(trim(regexp_replace(
    normalize(hostname, NFC), '[\u0001-\u001f\u007f-\u009f\u2028\u2029]+', ' ', 'g'
)), ''), host(ip_address))
WHERE hostname IS NOT NFC NORMALIZED OR hostname ~ '[\u0001-\u001f\u007f-\u009f\u2028\u2029]'
"""


class Migration(migrations.Migration):

    dependencies = [
        ("devices", "0010_checks"),
    ]

    operations = [
        migrations.AlterField(
            model_name="device",
            name="hostname",
            field=models.CharField(max_length=255, validators=[devices.models.one_line_check]),
        ),
        migrations.RunSQL(CLEAN, migrations.RunSQL.noop),
    ]
