"""The project itself, as the app that holds its commands and checks."""

import gc

from django.apps import AppConfig
from django.db.backends.signals import connection_created


class ProjectConfig(AppConfig):
    name = "nms_project"

    def ready(self) -> None:
        from nms_project import checks, postgres  # noqa: F401  (checks register themselves)

        connection_created.connect(postgres.watch)
        gc.freeze()  # what was imported lives as long as the process
        gc.enable()
