"""Errors of the devices app; the tree stands in nms_project/errors.py."""

from nms_project.errors import NMSError


class CredentialUnreadable(NMSError):
    """A stored secret that none of the configured keys opens."""
