"""Work that comes again by itself."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import close_old_connections

from nms_project.errors import OUTAGES

logger = logging.getLogger(__name__)


@contextmanager
def until_next_time(what: str) -> Iterator[None]:
    """A server that is away, or a lock that cannot be had soon: nothing is half done, the next period goes
    on.
    """
    try:
        yield
    except OUTAGES as error:
        close_old_connections()
        logger.warning("%s are put off: %s", what, type(error.__cause__ or error).__name__)
