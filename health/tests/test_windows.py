"""The failure window: the script's rule, held against a plain computation."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from health.windows import Failure, effective_window, failures_count, failures_forget, key
from nms_project.redis_client import redis_client

BASE = datetime(2026, 1, 1, tzinfo=UTC)


def failure(seconds: float, *, since: datetime = BASE, device_id: int = 1, interval: int = 60) -> Failure:
    return Failure(device_id, BASE + timedelta(seconds=seconds), since, interval, "does not answer ping")


def counts(*failures: Failure) -> list[tuple[int, bool]]:
    return [(counted.count, counted.has_tripped) for counted in failures_count(failures)]


def test_three_within_the_window_trip() -> None:
    assert counts(failure(0), failure(60), failure(120)) == [(1, False), (2, False), (3, True)]
    failures_forget([1])
    assert redis_client().exists(key(1)) == 0


def test_a_trip_delivered_again_trips_again() -> None:
    counts(failure(0), failure(60), failure(120))
    assert counts(failure(0), failure(60), failure(120)) == [(0, False), (0, False), (3, True)]


def test_the_gap_is_to_the_previous_failure_not_to_the_first() -> None:
    assert counts(failure(0), failure(179), failure(358))[-1] == (3, True)


def test_a_gap_of_exactly_the_window_starts_afresh() -> None:
    assert counts(failure(0), failure(60), failure(240)) == [(1, False), (2, False), (1, False)]


def test_the_same_slot_counts_once() -> None:
    assert counts(failure(0), failure(0)) == [(1, False), (0, False)]
    assert counts(failure(0)) == [(0, False)]


def test_an_older_slot_does_not_count() -> None:
    counts(failure(60))
    assert counts(failure(0)) == [(0, False)]


def test_a_long_interval_widens_the_window() -> None:
    assert effective_window(60) == 180
    assert effective_window(3_600) == 7_200
    every_hour = [failure(3_600 * hour, interval=3_600) for hour in range(3)]
    assert counts(*every_hour)[-1] == (3, True)


def test_a_new_period_of_activity_starts_afresh() -> None:
    counts(failure(0), failure(60))
    assert counts(failure(120, since=BASE + timedelta(seconds=90))) == [(1, False)]


def test_devices_count_apart() -> None:
    assert counts(failure(0), failure(0, device_id=2)) == [(1, False), (1, False)]


def test_the_record_expires() -> None:
    counts(failure(0))
    assert 0 < redis_client().ttl(key(1)) <= 360


def test_forgetting_starts_afresh() -> None:
    counts(failure(0), failure(60))
    failures_forget([1])
    assert counts(failure(120)) == [(1, False)]


@hypothesis_settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.integers(-100, 400), max_size=12), threshold=st.integers(1, 5))
def test_equals_a_plain_computation(settings: Any, gaps: list[int], threshold: int) -> None:
    settings.NMS_FAILURE_THRESHOLD = threshold
    failures_forget([1])
    count, last, now = 0, None, 0
    for gap in gaps:
        now += gap
        if last is not None and now <= last:
            expected = (0, False)
        else:
            count = count + 1 if last is not None and now - last < 180 else 1
            expected = (count, count >= threshold)
            count, last = (0, None) if count >= threshold else (count, now)
        assert counts(failure(now)) == [expected]
        if expected[1]:
            failures_forget([1])
