"""Periodic work of the metrics app. What an outage stops goes on with the next period, where it stood."""

import logging
import time

from celery import shared_task

from devices.services import database_now
from metrics.partitions import partitions_prepare
from metrics.retention import deletions_advance, history_trim
from metrics.rollups import Ladder, ladder_advance, ladder_state
from metrics.sample_rollups import SAMPLES
from nms_project.periodic import until_next_time

logger = logging.getLogger(__name__)

ERASING_SECONDS = 20.0
FAR_BEHIND = 3  # finished intervals of the finest level that are not made: worth a line in the log


@shared_task(name="metrics.partitions", ignore_result=True)
def partitions_task() -> None:
    with until_next_time("new partitions"):
        for name in partitions_prepare(database_now()):
            logger.info("made partition %s", name)


@shared_task(name="metrics.rollups", ignore_result=True, acks_late=False)
def rollups_task() -> None:
    ladder_work(SAMPLES)


def ladder_work(ladder: Ladder) -> None:
    """One period's work on a ladder; says how far it is when there is much to catch up with."""
    with until_next_time(f"rollups of {ladder.name}"):
        now = database_now()
        if ladder_advance(ladder, now=now):
            return
        for state in ladder_state(ladder, now):
            if state.behind > FAR_BEHIND or state.late:
                logger.warning(
                    "rollups of %s over %s: done until %s, %d intervals behind, %d to be repaired",
                    ladder.name,
                    state.level.name,
                    state.done_until,
                    state.behind,
                    state.late,
                )


@shared_task(name="metrics.trim", ignore_result=True, acks_late=False)
def trim_task() -> None:
    with until_next_time("drops of old partitions"):
        for name in history_trim(database_now()):
            logger.info("dropped partition %s", name)


@shared_task(name="metrics.erase", ignore_result=True, acks_late=False)
def erase_task() -> None:
    with until_next_time("erasures"):
        now, deadline = database_now(), time.monotonic() + ERASING_SECONDS
        while time.monotonic() < deadline and deletions_advance(now):
            pass
