"""gunicorn, serving API and admin."""

import gc
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db.backends.signals import connection_created
from gunicorn.app.base import BaseApplication

from nms_project.checks import SETTINGS
from nms_project.postgres import waits_bound
from nms_project.web_address import listening_address

FROZEN_SECONDS = 5.0  # after the statement's own limit: such a server does not answer at all


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn without its command line: the application is this process's, loaded once before it forks."""

    def load_config(self) -> None:
        options = {
            "bind": listening_address(),
            "worker_class": "nms_project.web.Worker",
            "workers": settings.NMS_WEB_PROCESSES,
            "threads": settings.NMS_WEB_THREADS,
            "timeout": 60,
            "limit_request_line": 8_190,  # a filter by some hundred devices is a long line
            "graceful_timeout": 5,
            "loglevel": "warning",
            "preload_app": True,
            "control_socket_disable": True,
            # No client says below which path we are, not even one that is taken for a proxy.
            "forwarder_headers": "",
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        from nms_project.wsgi import application  # when gunicorn asks for it

        connection_created.connect(statements_bound)
        gc.collect()
        gc.freeze()  # what lives as long as the process is not looked through for garbage, request by request
        return application


def statements_bound(connection: Any, **_: Any) -> None:
    """End statements of a request, and their waits for locks, when a client would not wait any longer."""
    waits_bound(connection, settings.NMS_REQUEST_TIMEOUT_SECONDS + FROZEN_SECONDS)
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {settings.NMS_REQUEST_TIMEOUT_SECONDS * 1_000:d}")


class Command(BaseCommand):
    help = "Serves the API and the admin on BIND:PORT."
    requires_system_checks = (SETTINGS,)

    def handle(self, *args: Any, **options: Any) -> None:
        Server().run()
