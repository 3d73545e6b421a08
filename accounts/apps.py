"""The accounts app: who may do what."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class AccountsConfig(AppConfig):
    name = "accounts"

    def ready(self) -> None:
        # After every other app's: INSTALLED_APPS has this one last, so all permissions are there.
        post_migrate.connect(_make_roles, sender=self)


def _make_roles(**kwargs: Any) -> None:
    from accounts.roles import roles_make

    roles_make()
