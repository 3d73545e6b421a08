"""How an agent's values are read, without an agent."""

import pytest

from plugins.kit.counters import Reading
from plugins.snmp.document import Counters, has_restarted


def counters(*, uptime: float, clock: float) -> Counters:
    """Of an agent that is up for `uptime` seconds at `clock` seconds of ours."""
    return Counters(uptime_ticks=int(uptime * 100), wide=Reading(clock, {}), narrow=Reading(clock, {}))


@pytest.mark.parametrize(
    ("before", "now", "elapsed", "restarted"),
    [
        (1_000, 1_300, 300, False),
        (1_000, 5, 300, True),
        (10, 200, 600, True),  # it was polled soon after one start, and is up for longer since the next
        (1_000, 1_000, 20, False),  # its clock stands still between two refreshes
        (1_000, 1_270, 300, False),  # its clock is slow
    ],
)
def test_a_restart_is_seen_by_the_uptime(before: float, now: float, elapsed: float, restarted: bool) -> None:
    assert (
        has_restarted(counters(uptime=before, clock=50), counters(uptime=now, clock=50 + elapsed))
        is restarted
    )
