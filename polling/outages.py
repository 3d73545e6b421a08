"""When a device was down, and for how long it was monitored: a pure computation over what is known of it.

Two things decide. Whether the device is monitored follows from its changes of status: it is while it is
active, and stays so when its failures deactivate it; a device that a person deactivated, that waits to be
provisioned or whose configuration is wrong is not. Whether a monitored device answers follows from its
verdicts, of which the last one holds until the next. After a deactivation by failures the device is down
until a verdict shows that it answers.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum

from metrics.rollups import floor_to


class Monitoring(Enum):
    ACTIVE = "active"
    FAILED = "failed"  # deactivated after failures
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Observation:
    """A verdict that shows whether the device answers."""

    at: datetime
    is_up: bool
    kind: str
    error: str


@dataclass(frozen=True, slots=True)
class MonitoringChange:
    at: datetime
    monitoring: Monitoring
    reason: str


@dataclass(slots=True)
class History:
    """What is known of a device in a range, in any order, and the last of each kind before it.

    An observation that equals the one before it may be left out.
    """

    observations: list[Observation] = field(default_factory=list)
    changes: list[MonitoringChange] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end) of one range, in which the device was monitored, and up or down throughout.

    `began_at` is when that was first known, which may be before the range. `is_open`: it lasts at
    the end of the range. `kind` and `error` are of the first failure; `kind` is empty where the verdict has
    been dropped.
    """

    start: datetime
    end: datetime
    is_up: bool
    began_at: datetime
    is_open: bool
    kind: str
    error: str

    @property
    def seconds(self) -> float:
        return (self.end - self.start).total_seconds()


@dataclass(slots=True)
class MonitoredTime:
    """Seconds. `percent` is the availability; None where nothing was monitored."""

    monitored: float = 0.0
    outage: float = 0.0

    @property
    def percent(self) -> float | None:
        return 100 * (1 - self.outage / self.monitored) if self.monitored else None

    def add(self, other: "MonitoredTime") -> None:
        self.monitored += other.monitored
        self.outage += other.outage


@dataclass(slots=True)
class _State:
    """Of a device at one moment, after each of its events."""

    monitoring: MonitoringChange | None = None
    last: Observation | None = None

    @property
    def is_up(self) -> bool | None:
        """None where the device is not monitored, or nothing is known yet."""
        if self.monitoring is None or self.monitoring.monitoring is Monitoring.ACTIVE:
            return self.last.is_up if self.last else None
        if self.monitoring.monitoring is Monitoring.OFF:
            return None
        return bool(self.last and self.last.is_up and self.last.at > self.monitoring.at)

    @property
    def cause(self) -> tuple[str, str]:
        """Kind and error of the failure that it is down by."""
        if self.last is not None and not self.last.is_up:
            return self.last.kind, self.last.error
        return "", self.monitoring.reason if self.monitoring else ""


def spans(history: History, start: datetime, end: datetime) -> Iterator[Span]:
    """Yield the monitored time of [start, end), oldest first; two spans side by side differ in `is_up`.

    A device of which no change of status is known is taken for active.
    """
    state = _State()
    is_up, since, began_at, cause = state.is_up, start, start, ("", "")
    events: list[Observation | MonitoringChange] = [*history.changes, *history.observations]
    for event in sorted(events, key=_order):
        if event.at >= end:
            break
        if isinstance(event, Observation):
            state.last = event
        else:
            state.monitoring = event
        if state.is_up is is_up:
            continue
        at = max(event.at, start)
        if is_up is not None and at > since:
            yield Span(since, at, is_up, began_at, False, *cause)
        is_up, since, began_at, cause = state.is_up, at, event.at, state.cause
    if is_up is not None and end > since:
        yield Span(since, end, is_up, began_at, True, *cause)


def _order(event: Observation | MonitoringChange) -> tuple[datetime, bool]:
    """A device is provisioned before its first slot, which may be of the same moment."""
    return event.at, isinstance(event, Observation)


def time_of(found: Iterable[Span]) -> MonitoredTime:
    time = MonitoredTime()
    for span in found:
        time.add(MonitoredTime(span.seconds, 0.0 if span.is_up else span.seconds))
    return time


def time_by_step(found: Iterable[Span], step: timedelta) -> dict[datetime, MonitoredTime]:
    """{start of a step on the grid of `step`: its time}, without the steps that have none."""
    found_by: defaultdict[datetime, MonitoredTime] = defaultdict(MonitoredTime)
    for span in found:
        at = span.start
        while at < span.end:
            begins = floor_to(at, step)
            until = min(span.end, begins + step)
            seconds = (until - at).total_seconds()
            found_by[begins].add(MonitoredTime(seconds, 0.0 if span.is_up else seconds))
            at = until
    return dict(found_by)
