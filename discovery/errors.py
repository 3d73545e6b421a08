"""Errors of the discovery app; the tree stands in nms_project/errors.py."""

from nms_project.errors import InvalidInput


class InvalidTarget(InvalidInput):
    """A target that cannot be expanded; the message names the item and what is accepted."""

    def __init__(self, message: str) -> None:
        super().__init__({"target": [message]})
