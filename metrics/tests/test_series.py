"""Series and rankings: an answer from any level equals the one from the samples themselves."""

import math
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.models import Device
from metrics.levels import plan_series, step_automatic
from metrics.models import RollupProgress
from metrics.rollups import floor_to
from metrics.sample_rollups import SAMPLES
from metrics.series import Aggregation, device_series
from metrics.tests.helpers import advance, forget_everything, store
from metrics.top import devices_top, plan_top

pytestmark = pytest.mark.usefixtures("committed")
START = datetime(2030, 5, 9, 22, tzinfo=UTC)
DAY = timedelta(days=1)
LATER = START + 2 * DAY

STRAIGHT: dict[Aggregation, Callable[[list[int]], float]] = {
    Aggregation.AVG: lambda values: sum(values) / len(values),
    Aggregation.MIN: min,
    Aggregation.MAX: max,
    Aggregation.LAST: lambda values: values[-1],
    Aggregation.SUM: sum,
    Aggregation.COUNT: len,
}
steps = st.sampled_from([30, 60, 300, 420, 900, 3_600, 5_400, 7_200, 86_400]).map(
    lambda n: timedelta(seconds=n)
)
minutes = st.integers(0, 27 * 60)
# Minute of the sample, and the values of two paths; the second is not in each document.
histories = st.dictionaries(
    minutes, st.tuples(st.integers(-50, 50), st.one_of(st.none(), st.integers(0, 9))), min_size=1, max_size=25
)


def document(cpu: int, other: int | None) -> dict[str, Any]:
    return {"cpu": {"a.b": cpu}, **({} if other is None else {"other": other})}


def put(device: Device, history: dict[int, tuple[int, int | None]], rolled_up_to: int) -> None:
    store({(device.pk, START + timedelta(minutes=at)): document(*pair) for at, pair in history.items()})
    advance(SAMPLES, START + timedelta(minutes=rolled_up_to))


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories, rolled_up_to=minutes, edges=st.tuples(minutes, minutes), step=steps)
def test_a_series_at_any_level_equals_the_straightforward_answer(
    three: list[Device],
    history: dict[int, tuple[int, int | None]],
    rolled_up_to: int,
    edges: tuple[int, int],
    step: timedelta,
) -> None:
    forget_everything()
    put(three[0], history, rolled_up_to)
    start, end = (START + timedelta(minutes=edge) for edge in sorted(edges))
    plan = plan_series(start=start, end=end, step=step, now=START + 2 * DAY)
    assert plan.start <= start
    assert plan.end >= end
    for aggregation in Aggregation:
        got, (cpu, other) = device_series(
            device_id=three[0].pk, paths=[["cpu", "a.b"], ["other"]], plan=plan, aggregation=aggregation
        )
        inside = {
            moment: pair
            for at, pair in sorted(history.items())
            for moment in [START + timedelta(minutes=at)]
            if plan.start <= moment < plan.end
        }
        assert got == len(inside)
        for column, series in enumerate((cpu, other)):
            buckets: dict[datetime, list[int]] = defaultdict(list)
            for moment, pair in inside.items():
                value = pair[column]
                if value is not None:
                    buckets[floor_to(moment, plan.step)].append(value)
            expected = [
                (bucket, STRAIGHT[aggregation](values), len(values)) for bucket, values in buckets.items()
            ]
            assert [(point.timestamp, point.value, point.count) for point in series.points] == expected


@pytest.mark.slow
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    three_histories=st.lists(histories, min_size=3, max_size=3),
    rolled_up_to=minutes,
    edges=st.tuples(minutes, minutes),
    aggregation=st.sampled_from(list(Aggregation)),
)
def test_a_ranking_equals_the_straightforward_one(
    three: list[Device],
    three_histories: list[dict[int, tuple[int, int | None]]],
    rolled_up_to: int,
    edges: tuple[int, int],
    aggregation: Aggregation,
) -> None:
    forget_everything()
    for device, history in zip(three, three_histories, strict=True):
        put(device, history, rolled_up_to)
    start, end = (START + timedelta(minutes=edge) for edge in sorted(edges))
    plan = plan_top(start=start, end=end, now=START + 2 * DAY)
    ranked = devices_top(
        plan=plan, path=["cpu", "a.b"], aggregation=aggregation, limit=10, is_descending=True, device_ids=None
    )
    expected = []
    for device, history in zip(three, three_histories, strict=True):
        inside = [
            pair[0]
            for at, pair in sorted(history.items())
            if plan.start <= START + timedelta(minutes=at) < plan.end
        ]
        if inside:
            expected.append((-STRAIGHT[aggregation](inside), device.pk, len(inside)))
    found = [(-each.value, each.device_id, each.count) for each in ranked]
    assert [one[1:] for one in found] == [one[1:] for one in sorted(expected)]
    assert all(math.isclose(one[0], two[0]) for one, two in zip(found, sorted(expected), strict=True))


# --- Which level answers ---


def level_of(start: timedelta, step: timedelta) -> tuple[str, timedelta]:
    now = START + DAY
    for level in SAMPLES.levels:
        RollupProgress.objects.create(level=level.key, done_until=now, sealed_until=now)
    plan = plan_series(start=now - start, end=now, step=step, now=now)
    return plan.level, plan.step


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize(
    ("ago", "step", "level", "used"),
    [
        (timedelta(hours=1), timedelta(seconds=60), "raw", timedelta(seconds=60)),
        (timedelta(hours=1), timedelta(minutes=5), "5m", timedelta(minutes=5)),
        (timedelta(days=1), timedelta(hours=2), "1h", timedelta(hours=2)),
        (timedelta(days=1), timedelta(minutes=90), "5m", timedelta(minutes=90)),
        (timedelta(days=300), timedelta(days=7), "1d", timedelta(days=7)),
        # What is fine enough has been dropped: the step becomes what is left.
        (timedelta(days=40), timedelta(seconds=60), "5m", timedelta(minutes=5)),
        (timedelta(days=400), timedelta(minutes=7), "1h", timedelta(hours=1)),
        (timedelta(days=400), timedelta(minutes=90), "1h", timedelta(hours=2)),
        (timedelta(days=3_000), timedelta(hours=6), "1d", timedelta(days=1)),
        (timedelta(days=9_000), timedelta(hours=6), "1d", timedelta(days=1)),
    ],
)
def test_the_coarsest_level_that_is_fine_enough_and_still_there(
    ago: timedelta, step: timedelta, level: str, used: timedelta
) -> None:
    assert level_of(ago, step) == (level, used)


@pytest.mark.parametrize(
    ("length", "interval", "step"),
    [(3_600, 60, 60), (3_600, 300, 300), (86_400, 60, 300), (31_536_000, 60, 86_400), (1, 10, 10)],
)
def test_the_automatic_step(length: int, interval: int, step: int) -> None:
    chosen = step_automatic(timedelta(seconds=length), timedelta(seconds=interval))
    assert chosen == timedelta(seconds=step)


def test_what_is_not_rolled_up_yet_is_read_from_finer_rows(three: list[Device]) -> None:
    put(three[0], {0: (1, None), 61: (3, None), 119: (5, None)}, rolled_up_to=69)
    plan = plan_series(start=START, end=START + timedelta(hours=3), step=timedelta(hours=1), now=START + DAY)
    assert [piece.level.name if piece.level else "raw" for piece in plan.pieces] == ["1h", "5m", "raw"]
    _, (series,) = device_series(
        device_id=three[0].pk, paths=[["cpu", "a.b"]], plan=plan, aggregation=Aggregation.SUM
    )
    assert [point.value for point in series.points] == [1, 8]
    assert plan.level == "1h"
    early = plan_series(
        start=START + timedelta(hours=2), end=START + timedelta(hours=3), step=timedelta(hours=1), now=LATER
    )
    assert early.level == "raw"  # nothing coarser has come so far


@pytest.mark.parametrize(
    "path", [["a", "-1"], ["a", "02"], ["a", "+1"], ["a", " 1"], ["a", "1"], ["k", "02"]]
)
def test_a_path_means_the_same_at_every_level(three: list[Device], path: list[str]) -> None:
    """PostgreSQL finds a position of an array by other spellings too, which rollups do not know."""
    store({(three[0].pk, START): {"a": [1, 2, 3], "k": {"02": 7}}})
    answers = []
    for _ in range(2):
        plan = plan_series(start=START, end=START + DAY, step=DAY, now=LATER)
        _, (series,) = device_series(
            device_id=three[0].pk, paths=[path], plan=plan, aggregation=Aggregation.SUM
        )
        ranking = plan_top(start=START, end=START + DAY, now=LATER)
        ranked = devices_top(
            plan=ranking,
            path=path,
            aggregation=Aggregation.SUM,
            limit=1,
            is_descending=True,
            device_ids=None,
        )
        answers.append(([point.value for point in series.points], [each.value for each in ranked]))
        advance(SAMPLES, LATER)
    expected = {"1": [2.0], "02": [7.0]}[path[1]] if path in (["a", "1"], ["k", "02"]) else []
    assert answers[1] == (expected, expected)
    assert answers[0][0] == expected


@pytest.mark.parametrize("length", [timedelta(0), DAY])
def test_a_range_that_is_empty_or_ahead_is_an_empty_answer(three: list[Device], length: timedelta) -> None:
    plan = plan_series(start=START + DAY, end=START + DAY + length, step=timedelta(minutes=5), now=START)
    assert plan.start == plan.end == START + DAY
    found = device_series(device_id=three[0].pk, paths=[["a"]], plan=plan, aggregation=Aggregation.AVG)
    assert (found[0], found[1][0].points) == (0, [])
