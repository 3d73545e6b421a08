"""The audit: entries are written by triggers and never changed."""

import django.db.models.functions.datetime
from django.db import migrations, models


# Arguments: what it is called, the columns to be masked, those that say nothing, the column of its name, and whether
# only people's changes are of interest: what the system does to devices has records of its own.
WRITE = """
CREATE FUNCTION accounts_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who jsonb := nullif(current_setting('nms.actor', true), '')::jsonb;
    hidden text[] := string_to_array(TG_ARGV[1], ',');
    silent text[] := string_to_array(TG_ARGV[2], ',');
    old_row jsonb; new_row jsonb; named jsonb; was jsonb; became jsonb; field text;
BEGIN
    IF who IS NULL AND TG_ARGV[4] = 'people' THEN
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN old_row := to_jsonb(OLD) - silent; END IF;
    IF TG_OP <> 'DELETE' THEN new_row := to_jsonb(NEW) - silent; END IF;
    named := coalesce(new_row, old_row);
    IF TG_OP = 'UPDATE' THEN
        SELECT jsonb_object_agg(key, old_row -> key), jsonb_object_agg(key, value) INTO was, became
        FROM jsonb_each(new_row) WHERE old_row -> key IS DISTINCT FROM value;
        IF became IS NULL THEN
            RETURN NULL;
        END IF;
    ELSE
        was := old_row; became := new_row;
    END IF;
    FOREACH field IN ARRAY hidden LOOP
        IF was ? field THEN was := jsonb_set(was, ARRAY[field], '"[HIDDEN]"'); END IF;
        IF became ? field THEN became := jsonb_set(became, ARRAY[field], '"[HIDDEN]"'); END IF;
    END LOOP;
    INSERT INTO accounts_auditentry
        (actor_id, actor, source, address, action, object_type, object_id, object_name, before, after)
    VALUES (
        (who ->> 'id')::bigint, coalesce(who ->> 'name', ''), coalesce(who ->> 'source', 'system'),
        coalesce(who ->> 'address', ''),
        CASE TG_OP WHEN 'INSERT' THEN 'create' WHEN 'UPDATE' THEN 'change' ELSE 'delete' END,
        TG_ARGV[0], coalesce(named ->> 'id', ''), left(coalesce(named ->> TG_ARGV[3], ''), 255), was, became
    );
    RETURN NULL;
END $$
"""
KEEP = """
CREATE FUNCTION accounts_audit_keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit entries are never changed';
END $$;
CREATE TRIGGER audit_keep BEFORE UPDATE OR DELETE ON accounts_auditentry
FOR EACH ROW EXECUTE FUNCTION accounts_audit_keep()
"""
# table: object type, masked, silent, name, whose
TABLES = {
    'devices_device': ('device', '', 'updated_at,status_since', 'hostname', 'people'),
    'devices_credentialprofile': ('credential profile', 'encrypted_payload', 'updated_at', 'name', 'all'),
    'discovery_discoveryprofile': ('discovery profile', '', 'updated_at', 'name', 'people'),
    'discovery_discoveryrun': ('discovery run', '', '', 'target', 'people'),
    'discovery_fallbackcredential': ('fallback credential', '', '', '', 'people'),
    'auth_user': ('user', 'password', 'last_login', 'username', 'all'),
    'auth_user_groups': ('role of a user', '', '', '', 'all'),
    'auth_user_user_permissions': ('permission of a user', '', '', '', 'all'),
    'auth_group': ('role', '', '', 'name', 'people'),
    'auth_group_permissions': ('permission of a role', '', '', '', 'people'),
    'accounts_apitoken': ('API token', 'digest', 'last_used_at', 'name', 'all'),
}


def trigger(table, arguments):
    quoted = ', '.join(f"'{argument}'" for argument in arguments)
    return migrations.RunSQL(
        f'CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {table} '
        f'FOR EACH ROW EXECUTE FUNCTION accounts_audit({quoted})',
        f'DROP TRIGGER audit ON {table}',
    )


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('devices', '0005_roles'),
        ('discovery', '0002_fallback_credentials'),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ('actor_id', models.BigIntegerField(null=True)),
                ('actor', models.CharField(max_length=150)),
                ('source', models.CharField(max_length=32)),
                ('address', models.CharField(max_length=64)),
                ('action', models.CharField(choices=[('create', 'create'), ('change', 'change'), ('delete', 'delete')], max_length=8)),
                ('object_type', models.CharField(max_length=64)),
                ('object_id', models.CharField(max_length=64)),
                ('object_name', models.CharField(max_length=255)),
                ('before', models.JSONField(null=True)),
                ('after', models.JSONField(null=True)),
            ],
            options={
                'verbose_name_plural': 'audit entries',
                'ordering': ['-id'],
                'indexes': [
                    models.Index(fields=['object_type', 'object_id'], name='auditentry_object'),
                    models.Index(fields=['at'], name='auditentry_at'),
                ],
            },
        ),
        migrations.RunSQL(WRITE, 'DROP FUNCTION accounts_audit()'),
        migrations.RunSQL(KEEP, 'DROP FUNCTION accounts_audit_keep() CASCADE'),
        *(trigger(table, arguments) for table, arguments in TABLES.items()),
    ]
