"""What is audited of a user (roles, permissions, sessions) is found by his id and name."""

from django.db import migrations

# As before, but for the object: where the column of its name is `user_id`, it is the user.
WRITE = """
CREATE OR REPLACE FUNCTION accounts_audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    who jsonb := nullif(current_setting('nms.actor', true), '')::jsonb;
    hidden text[] := string_to_array(TG_ARGV[1], ',');
    silent text[] := string_to_array(TG_ARGV[2], ',');
    old_row jsonb; new_row jsonb; named jsonb; object jsonb; was jsonb; became jsonb; field text;
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
    IF TG_ARGV[3] = 'user_id' THEN
        SELECT jsonb_build_object('id', id, 'name', username) INTO object
        FROM auth_user WHERE id = (named ->> 'user_id')::integer;
    ELSE
        object := jsonb_build_object('id', named -> 'id', 'name', named -> TG_ARGV[3]);
    END IF;
    INSERT INTO accounts_auditentry
        (actor_id, actor, source, address, action, object_type, object_id, object_name, before, after)
    VALUES (
        (who ->> 'id')::bigint, coalesce(who ->> 'name', ''), coalesce(who ->> 'source', 'system'),
        coalesce(who ->> 'address', ''),
        CASE TG_OP WHEN 'INSERT' THEN 'create' WHEN 'UPDATE' THEN 'change' ELSE 'delete' END,
        TG_ARGV[0], coalesce(object ->> 'id', ''), left(coalesce(object ->> 'name', ''), 255), was, became
    );
    RETURN NULL;
END $$
"""
TABLES = {
    'auth_user_groups': ('role of a user', '', '', 'user_id', 'all'),
    'auth_user_user_permissions': ('permission of a user', '', '', 'user_id', 'all'),
}


def trigger(table, arguments):
    quoted = ', '.join(f"'{argument}'" for argument in arguments)
    return migrations.RunSQL(
        f'CREATE OR REPLACE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {table} '
        f'FOR EACH ROW EXECUTE FUNCTION accounts_audit({quoted})',
        migrations.RunSQL.noop,
    )


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_audit_sessions'),
    ]

    operations = [
        migrations.RunSQL(WRITE, migrations.RunSQL.noop),
        *(trigger(table, arguments) for table, arguments in TABLES.items()),
    ]
