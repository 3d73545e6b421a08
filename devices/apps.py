"""The devices app."""

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    name = "devices"

    def ready(self) -> None:
        from devices import checks  # noqa: F401  (registers them)
