"""Makes the database ready: migrations, partitions, and the first administrator."""

import os
import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from nms_project.checks import SETTINGS

DEFAULT_USERNAME = "admin"


class Command(BaseCommand):
    requires_system_checks = (SETTINGS,)  # no others: as each worker
    help = "Migrates, makes partitions ahead, and creates the first administrator where there is no user yet."

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        call_command("partitions")
        users = get_user_model().objects
        if users.exists():
            return
        username = os.environ.get("DJANGO_SUPERUSER_USERNAME") or DEFAULT_USERNAME
        given = os.environ.get("DJANGO_SUPERUSER_PASSWORD", "")
        if "DJANGO_SUPERUSER_PASSWORD" in os.environ and not given:
            raise CommandError(
                "DJANGO_SUPERUSER_PASSWORD is empty. Give a password, or unset it for a random one."
            )
        password = given or secrets.token_urlsafe(12)
        email = os.environ.get("DJANGO_SUPERUSER_EMAIL", "")
        users.create_superuser(username, email, password)
        if not given:
            # The only time it is shown: to who started this, not by way of the logging.
            self.stdout.write(f"First administrator: {username}  password: {password}  (shown this once)")
