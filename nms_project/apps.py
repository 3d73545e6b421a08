"""The project itself, as the app that holds its commands and checks."""

import gc

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "nms_project"

    def ready(self) -> None:
        from nms_project import checks  # noqa: F401  (registers them)

        gc.freeze()  # what was imported lives as long as the process
        gc.enable()
