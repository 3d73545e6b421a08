"""The project itself, as the app that holds its commands and checks."""

import gc

from django.apps import AppConfig
from django.db.backends.postgresql.features import DatabaseFeatures
from django.db.backends.signals import connection_created

MINIMUM_POSTGRESQL = (16,)


class ProjectConfig(AppConfig):
    name = "nms_project"

    def ready(self) -> None:
        from nms_project import checks  # noqa: F401  (registers them)
        from nms_project.postgres import watch

        connection_created.connect(watch)
        # Django takes older ones, on which the migrations would fail half-way.
        DatabaseFeatures.minimum_database_version = MINIMUM_POSTGRESQL
        gc.freeze()  # what was imported lives as long as the process
        gc.enable()
