"""What the dashboard shows, gathered at one moment for everybody whom this process serves within a few
seconds of it.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import redis
from django.core.cache import cache

from devices.services import database_now
from discovery.models import DiscoveryRun
from discovery.selectors import runs_open
from nms_project.heartbeat import Worker, workers_list
from nms_project.queues import queue_names
from polling.backlog import queue_lengths
from polling.busiest import Busy, busiest
from polling.fleet import HourOfFleet, ScheduleState, fleet_hours, lateness, schedule_state
from polling.outages import MonitoredTime
from polling.problems import Flapping, Problems, flapping, problems_now
from polling.states import StateCounts, state_counts

KEPT_SECONDS = 4
_gathering = threading.Lock()
SHOWN = 10
HOURS = timedelta(hours=24)
NEW_RANGE = timedelta(hours=1)  # for devices that went down recently
LATE_SECONDS = 2.0  # one of LATENESS_BOUNDS
TITLES = {
    "cpu": ("Processor", "%"),
    "memory": ("Memory", "%"),
    "disk": ("Fullest disk", "%"),
    "rtt": ("Round trip", "ms"),
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One hour. None where nothing was due, or no device was monitored."""

    start: datetime
    percent: float | None


@dataclass(frozen=True, slots=True)
class Fleet:
    """The last 24 hours. `late_percent` of the polls of the last ten minutes began more than 2 s late."""

    availability_bars: Sequence[Bar]
    completeness_bars: Sequence[Bar]
    availability: float | None
    completeness: float | None
    late_percent: float | None
    schedule: ScheduleState


@dataclass(frozen=True, slots=True)
class QueueRow:
    queue: str
    waiting: int
    workers: int


@dataclass(frozen=True, slots=True)
class System:
    """None is what Redis does not tell, since it is away."""

    queues: Sequence[QueueRow] | None
    workers: Sequence[Worker] | None


@dataclass(frozen=True, slots=True)
class Top:
    name: str
    title: str
    unit: str
    rows: Sequence[Busy]


@dataclass(frozen=True, slots=True)
class Dashboard:
    at: datetime
    states: StateCounts
    problems: Problems
    flapping: Sequence[Flapping]
    fleet: Fleet
    system: System
    runs: Sequence[DiscoveryRun]
    tops: Sequence[Top]


def dashboard() -> Dashboard:
    """At most KEPT_SECONDS old; `at` says of when it is. Who asks while it is gathered gets what comes of
    that.
    """
    found: Dashboard | None = cache.get("dashboard")
    if found is not None:
        return found
    with _gathering:
        found = cache.get("dashboard")
        if found is None:
            found = _gathered(database_now())
            cache.set("dashboard", found, KEPT_SECONDS)
        return found


def _gathered(now: datetime) -> Dashboard:
    return Dashboard(
        at=now,
        states=state_counts(new_since=now - NEW_RANGE),
        problems=problems_now(now, limit=SHOWN),
        flapping=flapping(now, limit=SHOWN),
        fleet=_fleet(now),
        system=_system(),
        runs=list(runs_open()[:SHOWN]),
        tops=_tops(now),
    )


def _fleet(now: datetime) -> Fleet:
    hours = fleet_hours(start=now - HOURS, end=now, now=now)
    late = lateness(now)
    polls = late[-1][1]
    return Fleet(
        availability_bars=[Bar(hour.start, _availability([hour])) for hour in hours],
        completeness_bars=[Bar(hour.start, _completeness([hour])) for hour in hours],
        availability=_availability(hours),
        completeness=_completeness(hours),
        late_percent=_percent(polls - dict(late)[LATE_SECONDS], polls),
        schedule=schedule_state(now),
    )


def _availability(hours: Sequence[HourOfFleet]) -> float | None:
    time = MonitoredTime()
    for hour in hours:
        time.add(hour.time or MonitoredTime())
    return time.percent


def _completeness(hours: Sequence[HourOfFleet]) -> float | None:
    return _percent(sum(hour.verdicts.answered for hour in hours), sum(hour.verdicts.due for hour in hours))


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _system() -> System:
    try:
        waiting, workers = queue_lengths(queue_names()), workers_list()
    except redis.RedisError:
        return System(None, None)
    alive = Counter(queue for worker in workers if worker.is_alive for queue in worker.beat.queues)
    return System([QueueRow(name, length, alive[name]) for name, length in waiting.items()], workers)


def _tops(now: datetime) -> list[Top]:
    found = busiest(now, limit=SHOWN)
    return [Top(name, title, unit, found[name]) for name, (title, unit) in TITLES.items()]
