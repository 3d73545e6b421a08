"""Periodic work of the accounts app."""

import logging

from celery import shared_task

from accounts.sessions import sessions_prune

logger = logging.getLogger(__name__)


@shared_task(name="accounts.prune", ignore_result=True)
def prune_task() -> None:
    logger.info("forgot %d expired login tokens", sessions_prune())
