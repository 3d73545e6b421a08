"""A plugin that was held up does not blame the host."""

import pytest

from plugins.contract import ErrorCode
from plugins.kit.network import CONNECTION_LOST
from plugins.kit.stall import BEAT_SECONDS, StallMeter


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_loop_that_runs_on_time_has_no_stall(clock: Clock) -> None:
    meter = StallMeter(clock)
    for _ in range(100):
        clock.now += BEAT_SECONDS + 0.5  # a busy machine
        meter.beat()
    assert meter.stalled_seconds() == 0.0


def test_stalls_add_up(clock: Clock) -> None:
    meter = StallMeter(clock)
    for seconds in (5, 3):
        clock.now += BEAT_SECONDS + seconds
        meter.beat()
    assert meter.stalled_seconds() == 8.0


def test_a_timer_that_fires_before_the_late_beat_sees_the_stall(clock: Clock) -> None:
    meter = StallMeter(clock)
    clock.now += BEAT_SECONDS + 28
    assert meter.stalled_seconds() == 28.0
    meter.beat()
    assert meter.stalled_seconds() == 28.0


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (ErrorCode.TIMEOUT, "no answer", ErrorCode.INTERNAL),
        (ErrorCode.PROTOCOL, CONNECTION_LOST, ErrorCode.INTERNAL),
        (ErrorCode.PROTOCOL, "the host's answer is not SSH", ErrorCode.PROTOCOL),
        (ErrorCode.AUTH, "no answer", ErrorCode.AUTH),
        (ErrorCode.REFUSED, "no answer", ErrorCode.REFUSED),
    ],
)
def test_what_a_stall_explains_is_the_plugins_own_fault(
    clock: Clock, code: ErrorCode, text: str, expected: ErrorCode
) -> None:
    meter = StallMeter(clock)
    before = meter.stalled_seconds()
    clock.now += BEAT_SECONDS + 2
    found, message = meter.explain(code, text, before)
    assert found is expected
    assert text in message


def test_a_stall_before_the_task_explains_nothing(clock: Clock) -> None:
    meter = StallMeter(clock)
    clock.now += BEAT_SECONDS + 28
    meter.beat()
    error = meter.explain(ErrorCode.TIMEOUT, "no answer", meter.stalled_seconds())
    assert error == (ErrorCode.TIMEOUT, "no answer")
