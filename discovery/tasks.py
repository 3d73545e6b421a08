"""The Celery tasks of discovery."""

import logging

from celery import shared_task
from django.db import IntegrityError

from discovery.services import runs_prune, runs_resume
from discovery.sweep import sweep
from nms_project.errors import POSTGRES_AWAY, REDIS_AWAY, Conflict
from nms_project.periodic import until_next_time
from polling.errors import RunnerClosed
from polling.outage import message_kept_on

logger = logging.getLogger(__name__)


@shared_task(name="discovery.sweep", ignore_result=True)
def sweep_task(run_id: int, start: int, stop: int) -> None:
    with message_kept_on(*POSTGRES_AWAY, *REDIS_AWAY, RunnerClosed, IntegrityError, Conflict):
        sweep(run_id, start, stop)


@shared_task(name="discovery.resume", ignore_result=True, acks_late=False)
def resume_task() -> None:
    with until_next_time("stalled discovery runs"):
        taken = runs_resume()
        if taken:
            logger.warning("%d stalled discovery runs are taken up again", taken)


@shared_task(name="discovery.prune", ignore_result=True, acks_late=False)
def prune_task() -> None:
    with until_next_time("deletions of old discovery runs"):
        logger.info("deleted %d old discovery runs", runs_prune())
