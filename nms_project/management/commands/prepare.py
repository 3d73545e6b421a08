"""Makes the database ready: migrations, partitions, and the first administrator."""

import os
import secrets
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import NotSupportedError, connection

from nms_project import env
from nms_project.checks import SETTINGS

DEFAULT_USERNAME = "admin"


class Command(BaseCommand):
    requires_system_checks = (SETTINGS,)  # no others: as each worker
    help = "Migrates, makes partitions ahead, and creates the first administrator where there is no user yet."

    def handle(self, *args: Any, **options: Any) -> None:
        first = FirstAdministrator()
        try:
            connection.ensure_connection()
        except NotSupportedError as error:
            raise CommandError(str(error)) from None
        call_command("migrate", interactive=False, verbosity=0)
        call_command("partitions")
        users = get_user_model().objects
        if users.exists():
            return
        users.create_superuser(first.username, first.email, first.password)
        if not first.is_given:
            # The only time it is shown: to the person who started this, not through the logging.
            self.stdout.write(
                f"First administrator: {first.username}  password: {first.password}  (shown this once; "
                f"`manage.py changepassword {first.username}` sets another)"
            )


class FirstAdministrator:
    """The DJANGO_SUPERUSER_ settings, checked before anything is done. Raises CommandError."""

    def __init__(self) -> None:
        self.username = env.text("DJANGO_SUPERUSER_USERNAME", DEFAULT_USERNAME)
        self.email = env.text("DJANGO_SUPERUSER_EMAIL")
        if os.environ.get("DJANGO_SUPERUSER_PASSWORD") == "":
            raise CommandError(
                "DJANGO_SUPERUSER_PASSWORD is empty. Give a password, or unset it for a random one."
            )
        # As it is: a password may begin or end with a blank.
        given = os.environ.get("DJANGO_SUPERUSER_PASSWORD") or env.text("DJANGO_SUPERUSER_PASSWORD")
        self.is_given = bool(given)
        self.password = given or secrets.token_urlsafe(12)
        self._check()

    def _check(self) -> None:
        user = get_user_model()(username=self.username, email=self.email)
        try:
            user.clean_fields(exclude=["password"])
            validate_password(self.password, user)
        except ValidationError as error:
            problems = getattr(error, "error_dict", None) or {"password": error}
            name, texts = next(iter(problems.items()))
            text = " ".join(ValidationError(texts).messages)
            raise CommandError(f"DJANGO_SUPERUSER_{name.upper()}: {text}") from None
