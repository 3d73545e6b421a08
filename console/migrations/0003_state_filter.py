"""Saved views that name the filter by problem, which became the filter by state."""

import re

from django.db import migrations

RENAMED = {"any": "problem", "unheard": "waiting"}


def rename(apps, schema_editor):
    for view in apps.get_model("console", "SavedView").objects.filter(query__contains="problem="):
        view.query = re.sub(
            r"(^|&)problem=([a-z]+)",
            lambda found: f"{found[1]}state={RENAMED.get(found[2], found[2])}",
            view.query,
        )
        view.save(update_fields=["query"])


class Migration(migrations.Migration):
    dependencies = [("console", "0002_audit_saved_views")]

    operations = [migrations.RunPython(rename, migrations.RunPython.noop)]
