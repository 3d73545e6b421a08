"""Logging out everywhere is audited: a user's next epoch."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_rotated'),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON accounts_tokenepoch "
            "FOR EACH ROW EXECUTE FUNCTION accounts_audit('sessions of a user', '', '', 'user_id', 'all')",
            "DROP TRIGGER audit ON accounts_tokenepoch",
        ),
    ]
