"""The beat schedule, all of it. Every task here is idempotent and claim-based, so two beats do no harm.

Short work has an interval; what runs hourly or less has a clock time, which a restart cannot push back.
"""

from typing import Any

from celery.schedules import crontab

from nms_project.queues import Queue

# Generous, because it is compared with another machine's clock; messages too many do no harm.
EXPIRES_SECONDS = 300.0


def beat_schedule(*, tick_seconds: float) -> dict[str, dict[str, Any]]:
    return {
        "claim due devices": _every("polling.tick", tick_seconds),
        "reset slots of a clock that jumped": _every("polling.reset_slots", 60.0),
        "take up stalled discovery runs": _every("discovery.resume", 30.0),
        "make partitions ahead": _every("metrics.partitions", crontab(minute="7"), expires=3_600),
        "roll samples up": _every("metrics.rollups", 30.0, queue=Queue.HISTORY),
        "roll verdicts up": _every("polling.rollups", 30.0, queue=Queue.HISTORY),
        "drop what is old": _every("metrics.trim", crontab(minute="23"), expires=3_600, queue=Queue.HISTORY),
        "forget expired logins": _every("accounts.prune", crontab(hour="3", minute="41"), expires=3_600),
        "forget old discovery runs": _every(
            "discovery.prune", crontab(hour="4", minute="17"), expires=3_600, queue=Queue.HISTORY
        ),
        "erase deleted devices": _every("metrics.erase", 60.0, queue=Queue.HISTORY),
    }


def _every(
    task: str, when: Any, *, expires: float = EXPIRES_SECONDS, queue: Queue = Queue.CONTROL
) -> dict[str, Any]:
    return {"task": task, "schedule": when, "options": {"queue": queue.value, "expires": expires}}
