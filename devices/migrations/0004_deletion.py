"""What the history of a device needs of it: its newest sample, its intervals, and a record when it is deleted."""

from django.db import migrations, models


DELETED = """
CREATE FUNCTION devices_device_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO devices_deletion (device_id, hostname, ip_address, deleted_at)
    SELECT id, hostname, ip_address, now() FROM gone ORDER BY id
    ON CONFLICT (device_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER devices_device_deleted AFTER DELETE ON devices_device
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION devices_device_deleted();
"""
NOT_DELETED = "DROP TRIGGER devices_device_deleted ON devices_device; DROP FUNCTION devices_device_deleted();"


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0003_device_remembered'),
    ]

    operations = [
        migrations.CreateModel(
            name='Deletion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('device_id', models.BigIntegerField(unique=True)),
                ('hostname', models.CharField(max_length=255)),
                ('ip_address', models.GenericIPAddressField(verbose_name="IP address")),
                ('deleted_at', models.DateTimeField()),
                ('erased_up_to', models.CharField(db_default='', default='', max_length=63)),
                ('partitions_done', models.IntegerField(db_default=0, default=0)),
                ('partitions_total', models.IntegerField(null=True)),
                ('rows_erased', models.BigIntegerField(db_default=0, default=0)),
                ('finished_at', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['-deleted_at', '-id'],
            },
        ),
        migrations.RunSQL(DELETED, NOT_DELETED),
        migrations.AddField(
            model_name='pollstate',
            name='newest_sample_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='statuschange',
            name='polling_interval_seconds',
            field=models.PositiveIntegerField(null=True),
        ),
    ]
