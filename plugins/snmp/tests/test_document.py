"""How an agent's values are read, without an agent."""

import pytest

from plugins.kit.counters import Reading
from plugins.snmp import mib
from plugins.snmp.document import Counters, document_of, has_restarted
from plugins.snmp.layout import Layout


def counters(*, uptime: float, clock: float) -> Counters:
    """Of an agent that is up for `uptime` seconds at `clock` seconds of ours."""
    return Counters(uptime_ticks=int(uptime * 100), octets=Reading(clock, {}))


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


def processors(clock: float, *, user: int, idle: int) -> Counters:
    ticks = {mib.CPU_WORKING["user"]: user, mib.CPU_RESTING["idle"]: idle}
    return Counters(int(clock * 100), Reading(clock, {}), Reading(clock, ticks))


@pytest.mark.parametrize(
    ("idle", "cpu"),
    [
        (5_000 + 2_000, {"total": 33.3}),
        (5_000 - 1, {"total": 100.0}),  # back a tick, as it does now and then: it did not move
        (7, {}),  # wrapped: its share is not known
    ],
)
def test_processor_time_that_goes_back_or_wraps(idle: int, cpu: dict[str, float]) -> None:
    nothing = Layout("h", "d", (), (), None, (), ())
    first = 2**32 - 1 if idle < 100 else 5_000
    before, now = processors(1_000, user=0, idle=first), processors(1_060, user=1_000, idle=idle)
    assert document_of(nothing, {}, before, now).get("cpu", {}) == cpu
