"""The devices app."""

from typing import Any

from celery.signals import worker_init
from django.apps import AppConfig

from nms_project.errors import OUTAGES


class DevicesConfig(AppConfig):
    name = "devices"

    def ready(self) -> None:
        from devices import checks  # noqa: F401  (registers them)

        worker_init.connect(_check_secrets)


def _check_secrets(sender: Any, **_: Any) -> None:
    """A worker whose keys do not open what is stored ends at once, and says why. The others' heartbeats tell
    which keys they have.
    """
    from devices.crypto import key_ids
    from devices.keys import SecretsUnreadable, secrets_check

    if sender is not None:
        sender.key_ids = key_ids()
    try:
        secrets_check()
    except SecretsUnreadable as error:
        raise SystemExit(str(error)) from None
    except OUTAGES:  # it waits for PostgreSQL like every task
        return
