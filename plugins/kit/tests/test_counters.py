"""Counters to rates: wraps, resets, and clocks that stand still."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.kit.counters import Reading, percent, rate, rates


@pytest.mark.parametrize(
    ("before", "now", "limit", "expected"),
    [
        (5, 9, None, 4),
        (5, 5, 1e9, 0),
        (2**32 - 1, 0, 1e9, 1),
        (2**32 - 10, 5, 15, 15),
        (2**40, 5, None, None),  # of 64 bits: it was reset
        (2**40, 5, 1e300, None),  # no counter of 32 bits
        (1_000_000_000, 5, 1e9, None),  # cleared: the link does not carry as much as a wrap would mean
        (2**32 - 10, 5, None, None),  # the speed of the link is not known
    ],
)
def test_rate_of_a_counter(before: int, now: int, limit: float | None, expected: int | None) -> None:
    assert rate(before, now, 1.0, limit=limit) == expected


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_32_bit_counter_comes_as_far_as_it_was_moved(start: int, moved: int) -> None:
    assert rate(start, (start + moved) % 2**32, 1.0, limit=2**32) == moved


def test_rates_are_a_second_and_only_of_what_both_readings_have() -> None:
    before, now = Reading(10, {"a": 1, "gone": 5}), Reading(12, {"a": 5, "new": 5})
    assert rates(before, now) == {"a": 2.0}


@pytest.mark.parametrize("seconds", [10, 9])
def test_no_time_no_rate(seconds: float) -> None:
    assert rates(Reading(10, {"a": 1}), Reading(seconds, {"a": 5})) == {}
    assert rates(None, Reading(seconds, {"a": 5})) == {}


@given(st.floats(-1e12, 1e12), st.floats(-1e12, 1e12))
def test_a_percentage_is_one(part: float, whole: float) -> None:
    assert 0 <= percent(part, whole) <= 100
