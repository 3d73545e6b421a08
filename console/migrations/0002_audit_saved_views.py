"""Saved views are audited, as others may be shown them."""

from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_rotated'),
        ('console', '0001_saved_views'),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON console_savedview "
            "FOR EACH ROW EXECUTE FUNCTION accounts_audit('saved view', '', '', 'name', 'people')",
            "DROP TRIGGER audit ON console_savedview",
        ),
    ]
