"""The pages that stand in the place of those that the apps have registered."""

from console import credential_page, device_page, discovery_pages

__all__ = ["credential_page", "device_page", "discovery_pages"]
