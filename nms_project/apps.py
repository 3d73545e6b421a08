"""The project itself, as the app that holds its commands and checks."""

from django.apps import AppConfig


class ProjectConfig(AppConfig):
    name = "nms_project"

    def ready(self) -> None:
        from nms_project import checks  # noqa: F401  (registers them)
