"""The state of each device as people see it: down, failing, up or not monitored, and one of these only."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Case, Count, IntegerField, Q, Value, When

from devices.models import Device, DeviceStatus
from devices.selectors import IS_DOWN, IS_UNACKNOWLEDGED
from polling.models import VerdictKind
from polling.verdict_rollups import DOWN

FAILING_VERDICTS = (*DOWN, VerdictKind.PLUGIN_ERROR.value)
ACTIVE = Q(status=DeviceStatus.ACTIVE)

IS_FAILING = ACTIVE & Q(poll_state__last_verdict__in=FAILING_VERDICTS)
IS_UP = ACTIVE & Q(poll_state__last_verdict=VerdictKind.OK)
# Active, and neither: never polled, or the last slots were lost.
IS_WAITING = ACTIVE & ~Q(poll_state__last_verdict__in=(*FAILING_VERDICTS, VerdictKind.OK))
IS_PENDING = Q(status=DeviceStatus.DISCOVERED)
IS_PAUSED = Q(status=DeviceStatus.INACTIVE, has_failed=False)
IS_UNMONITORED = IS_WAITING | IS_PENDING | IS_PAUSED
IS_ACKNOWLEDGED = IS_DOWN & ~IS_UNACKNOWLEDGED
IS_PROBLEM = (IS_DOWN & IS_UNACKNOWLEDGED) | IS_FAILING

# The worst first.
SEVERITY = Case(
    When(IS_DOWN, Value(0)),
    When(IS_FAILING, Value(1)),
    When(IS_WAITING, Value(2)),
    When(IS_UP, Value(3)),
    When(IS_PENDING, Value(4)),
    default=Value(5),
    output_field=IntegerField(),
)


@dataclass(frozen=True, slots=True)
class StateCounts:
    """How many devices are in each state. `by_configuration`, `acknowledged` and `new_down` are among those
    that are down, `waiting`, `pending` and `paused` among the unmonitored.
    """

    down: int
    by_configuration: int
    acknowledged: int
    new_down: int
    failing: int
    up: int
    waiting: int
    pending: int
    paused: int

    @property
    def total(self) -> int:
        return self.down + self.failing + self.up + self.unmonitored

    @property
    def unmonitored(self) -> int:
        return self.waiting + self.pending + self.paused


def state_counts(*, new_since: datetime) -> StateCounts:
    """Count all devices; `new_down` went down after `new_since`."""
    counts = {
        "down": IS_DOWN,
        "by_configuration": Q(status=DeviceStatus.ERROR),
        "acknowledged": IS_ACKNOWLEDGED,
        "new_down": IS_DOWN & Q(status_since__gt=new_since),
        "failing": IS_FAILING,
        "up": IS_UP,
        "waiting": IS_WAITING,
        "pending": IS_PENDING,
        "paused": IS_PAUSED,
    }
    return StateCounts(
        **Device.objects.order_by().aggregate(
            **{name: Count("pk", filter=condition) for name, condition in counts.items()}
        )
    )
