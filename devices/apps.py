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
        worker_init.connect(_tell_means)


def _tell_means(sender: Any, **_: Any) -> None:
    """For its heartbeats: see devices/workers.py."""
    from devices.crypto import key_ids
    from devices.plugins import plugin_ids

    sender.key_ids, sender.plugin_ids = key_ids(), plugin_ids()


def _check_secrets(**_: Any) -> None:
    """A worker whose keys do not open what is stored ends at once, and says why."""
    from devices.keys import SecretsUnreadable, secrets_check

    try:
        secrets_check()
    except SecretsUnreadable as error:
        raise SystemExit(str(error)) from None
    except OUTAGES:  # it waits for PostgreSQL like every task
        return
