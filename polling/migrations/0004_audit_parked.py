"""Who deletes a parked message is audited, without what it holds."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_rotated'),
        ('polling', '0003_down'),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON polling_parkedmessage "
            "FOR EACH ROW EXECUTE FUNCTION accounts_audit('parked message', '', 'body', 'task_id', 'people')",
            "DROP TRIGGER audit ON polling_parkedmessage",
        ),
    ]
