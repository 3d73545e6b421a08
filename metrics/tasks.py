"""Periodic work of the metrics app."""

import logging

from celery import shared_task

from devices.services import database_now
from metrics.partitions import partitions_prepare

logger = logging.getLogger(__name__)


@shared_task(name="metrics.partitions", ignore_result=True)
def partitions_task() -> None:
    for name in partitions_prepare(database_now()):
        logger.info("made partition %s", name)
