"""Periodic work of the accounts app."""

import logging

from celery import shared_task

from accounts.sessions import sessions_prune
from nms_project.periodic import until_next_time

logger = logging.getLogger(__name__)


@shared_task(name="accounts.prune", ignore_result=True)
def prune_task() -> None:
    with until_next_time("expired login tokens"):
        logger.info("forgot %d expired login tokens", sessions_prune())
