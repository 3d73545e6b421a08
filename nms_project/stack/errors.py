"""Errors of the embedded stack."""

from nms_project.errors import NMSError


class StackError(NMSError):
    """The stack cannot start; the message says what to do about it."""

    code = "stack"
