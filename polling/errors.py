"""Errors of the polling app; the tree stands in nms_project/errors.py."""

from nms_project.errors import NMSError


class FpingFault(NMSError):
    """fping itself cannot work (missing, not permitted, wrong arguments): nothing is known about any host."""


class RunnerClosed(NMSError):
    """The worker is ending: the tasks under way belong to another one now."""


class NoWorker(NMSError):
    """Nobody answered who should have: no worker of the queue runs, or all are busy."""

    status = 503
