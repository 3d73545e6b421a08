"""The discovery app."""

from django.apps import AppConfig


class DiscoveryConfig(AppConfig):
    name = "discovery"

    def ready(self) -> None:
        from discovery import checks  # noqa: F401  (registers them)
