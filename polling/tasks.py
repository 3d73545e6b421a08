"""The Celery tasks of polling. Their bodies load nothing but ids and results, and call one service each.

All are delivered at least once (acks_late) and written so that a second delivery changes nothing:
polling/guard.py drops slots that have moved on, polling/store.py stores a slot once. Threads have no time
limits in Celery; each stage has its own deadline, and none works longer than LONGEST_TASK_SECONDS of
nms_project/checks.py.
"""

import logging
import time
from collections.abc import Sequence
from typing import Any

import redis
from celery import current_app, shared_task

from health.services import FailedSlot, failures_record, successes_record
from metrics.tasks import ladder_work
from nms_project.errors import POSTGRES_AWAY, REDIS_AWAY
from nms_project.periodic import until_next_time
from polling.errors import RunnerClosed
from polling.fleet import fleet_hours_fill
from polling.models import VerdictKind
from polling.outage import message_kept_on
from polling.parking import MAX_KILLS, kills_counted, message_park
from polling.pinger import ping_slots
from polling.poller import poll_slots
from polling.scheduler import reset_slots, tick
from polling.slots import PingedSlot, Report, Slot
from polling.store import reports_store
from polling.telemetry import stored_count
from polling.trial import trial_run
from polling.verdict_rollups import VERDICTS

logger = logging.getLogger(__name__)

HAND_OVER_RETRIES = {"max_retries": 10, "interval_start": 0, "interval_step": 0.5, "interval_max": 2}


@shared_task(name="polling.tick", ignore_result=True, acks_late=False)
def tick_task() -> None:
    """Missed or doubled ticks do no harm: the next one finds what is due."""
    try:
        tick()
    except (*POSTGRES_AWAY, redis.RedisError) as error:
        logger.warning("this tick is skipped, a server is away: %s", type(error).__name__)


@shared_task(name="polling.reset_slots", ignore_result=True, acks_late=False)
def reset_slots_task() -> None:
    """For a jump that no tick saw, such as one while every scheduler was down."""
    with until_next_time("slots of a clock that jumped"):
        reset_slots()


@shared_task(name="polling.rollups", ignore_result=True, acks_late=False)
def rollups_task() -> None:
    ladder_work(VERDICTS)
    with until_next_time("availability of all devices by hours"):
        fleet_hours_fill()


@shared_task(name="polling.ping", ignore_result=True)
def ping_task(slots: Sequence[Sequence[int]]) -> None:
    with message_kept_on(*POSTGRES_AWAY):
        hand_over(ping_slots([Slot(*slot) for slot in slots]))


@shared_task(name="polling.poll", ignore_result=True)
def poll_task(plugin_id: str, slots: Sequence[Sequence[Any]]) -> None:
    with message_kept_on(*POSTGRES_AWAY, *REDIS_AWAY, RunnerClosed):
        for reports in poll_slots(plugin_id, [PingedSlot(*slot) for slot in slots]):
            hand_over(reports)


@shared_task(name="polling.try_credential", ignore_result=True, acks_late=False)
def try_credential_task(trial_id: str, profile_id: int, target: str, port: int) -> None:
    """At most once: whoever asked has gone by the time a lost one would come again."""
    trial_run(trial_id, profile_id, target, port)


@shared_task(name="polling.store", ignore_result=True, bind=True)
def store_task(self: Any, messages: Sequence[list[Any]]) -> None:
    """Acknowledges only what is committed or parked: any exception puts the message back."""
    with message_kept_on(Exception), kills_counted(self.request.id) as kills:
        if kills >= MAX_KILLS:
            message_park(self.request.id, messages, reason=f"it has killed its worker {MAX_KILLS} times")
            return
        try:
            reports = [Report.from_message(fields) for fields in messages]
        except (TypeError, ValueError, LookupError) as error:  # tried again it would be no better
            message_park(self.request.id, messages, reason=f"it cannot be read: {error!r}")
            return
        started = time.monotonic()
        reports_store(reports)
        stored_count(reports, time.monotonic() - started)
        feed_health(reports)


def hand_over(reports: Sequence[Report]) -> None:
    """To the store stage, trying through a short outage of the broker; what is lost then becomes `lost`."""
    if reports:
        current_app.send_task(
            "polling.store",
            args=[[report.to_message() for report in reports]],
            retry=True,
            retry_policy=HAND_OVER_RETRIES,
        )


def feed_health(reports: Sequence[Report]) -> None:
    """After the commit, from every counting report, also of a message delivered again."""
    failures_record(
        [
            FailedSlot(report.device_id, report.due_at, _stage(report.kind), report.error)
            for report in reports
            if report.is_counting
        ]
    )
    successes_record([report.device_id for report in reports if report.kind == VerdictKind.OK])


def _stage(kind: VerdictKind) -> str:
    return "ping" if kind == VerdictKind.PING_FAILED else "poll"
