"""The polling app."""

from django.apps import AppConfig


class PollingConfig(AppConfig):
    name = "polling"

    def ready(self) -> None:
        from polling import checks  # noqa: F401  (registers them)
