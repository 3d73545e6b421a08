"""The discovery app."""

from django.apps import AppConfig


class DiscoveryConfig(AppConfig):
    name = "discovery"
