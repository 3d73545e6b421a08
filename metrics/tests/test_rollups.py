"""Rollups of samples: equal to a straightforward computation, whatever the order, the batches and the repeats."""

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.models import CredentialProfile, Device
from devices.schedule import to_microseconds
from metrics.models import LateMark, Layout, Rollup1d, Rollup1h, Rollup5m, RollupProgress, Sample
from metrics.rollups import Ladder, Level, ladder_advance, ladder_state
from metrics.sample_rollups import SAMPLES
from polling.models import Verdict, VerdictKind
from polling.slots import Report
from polling.store import reports_store
from polling.tests.conftest import winrm_device

pytestmark = pytest.mark.usefixtures("committed")

START = datetime(2030, 3, 9, 22, tzinfo=UTC)
LATER = START + timedelta(hours=26, minutes=5)  # when the second day is finished
FIVE_MINUTES, HOUR, DAY = SAMPLES.levels
Leaf = tuple[float, float, float, int, float]  # low, high, total, count, last


def store(device_id: int, at: datetime, document: Any) -> None:
    reports_store([report_of(device_id, at, document)])


def report_of(device_id: int, at: datetime, document: Any) -> Report:
    due_us = to_microseconds(at)
    text = document if isinstance(document, str) else json.dumps(document)
    return Report(device_id, due_us, VerdictKind.OK, sampled_us=due_us, document=text)


def advance(ladder: Ladder, now: datetime) -> None:
    assert ladder_advance(ladder, now=now)


EXPAND = """
SELECT device_id, start_at, path, coalesce(low[spot], last), coalesce(high[spot], last),
       coalesce(total[spot], last * samples), coalesce(counts[spot], samples), last
FROM (
    SELECT rollup.device_id, rollup.start_at, rollup.samples, rollup.low, rollup.high, rollup.total, rollup.counts,
           leaf.path, leaf.last, array_position(moved, position::smallint) AS spot
    FROM {table} AS rollup JOIN metrics_layout AS layout ON layout.id = rollup.layout
    CROSS JOIN LATERAL unnest(layout.paths, rollup.last) WITH ORDINALITY AS leaf (path, last, position)
) AS leaves
"""


def stored(level: Level) -> dict[tuple[int, datetime, str], Leaf]:
    with connection.cursor() as cursor:
        cursor.execute(EXPAND.format(table=level.table))
        return {(row[0], row[1], row[2]): tuple(row[3:]) for row in cursor.fetchall()}  # type: ignore[misc]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """What docs/architecture.md calls the numeric leaves of a document."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, int | float):
        if path and len(path) <= 128 and abs(value) <= 1e300:
            yield path, float(value)
        return
    items = value.items() if isinstance(value, dict) else ((str(n), item) for n, item in enumerate(value))
    for key, item in items:
        if key:
            escaped = key.replace("\\", "\\\\").replace(".", "\\.")
            yield from leaves(item, f"{path}.{escaped}" if path else escaped)


def expected(samples: dict[tuple[int, datetime], Any], level: Level) -> dict[tuple[int, datetime, str], Leaf]:
    values: dict[tuple[int, datetime, str], list[float]] = defaultdict(list)
    for (device_id, at), document in sorted(samples.items()):
        for path, value in leaves(document):
            values[device_id, level.floor(at), path].append(value)
    return {key: (min(found), max(found), sum(found), len(found), found[-1]) for key, found in values.items()}


def approximately(found: dict[Any, Leaf]) -> dict[Any, Any]:
    return {key: pytest.approx(leaf, rel=1e-9) for key, leaf in found.items()}


# --- The property ---

keys = st.sampled_from(["cpu", "total", "0", "a.b", "a", "b", "back\\slash", "C:", "ключ", ""])
numbers = st.one_of(
    st.integers(-(2**40), 2**40),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 3)),
    st.sampled_from([0, 1e301, -0.0]),
)
documents = st.recursive(
    st.one_of(numbers, st.booleans(), st.none(), st.text(max_size=3).filter(lambda t: "\x00" not in t)),
    lambda inner: st.one_of(st.dictionaries(keys, inner, max_size=4), st.lists(inner, max_size=3)),
    max_leaves=8,
)
moments = st.integers(0, 5 * 60).map(lambda minute: START + timedelta(minutes=minute, seconds=7))
samples_of_a_day = st.dictionaries(st.tuples(st.integers(0, 2), moments), documents, min_size=1, max_size=25)


@pytest.fixture
def three(winrm_credential: CredentialProfile) -> list[Device]:
    return [winrm_device(winrm_credential, last) for last in range(1, 4)]


def forget_everything() -> None:
    """Faster than TRUNCATE, which makes new files for every partition."""
    for model in (Verdict, Sample, Rollup5m, Rollup1h, Rollup1d, RollupProgress, LateMark, Layout):
        model._default_manager.all().delete()


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(samples=samples_of_a_day, data=st.data())
def test_any_delivery_ends_in_the_same_rollups(
    three: list[Device], samples: dict[tuple[int, datetime], Any], data: st.DataObject
) -> None:
    forget_everything()
    known = {(three[device].pk, at): document for (device, at), document in samples.items()}
    order = data.draw(st.permutations(list(known.items())))
    repeats = data.draw(st.lists(st.sampled_from(order), max_size=5))
    deliveries = [*order, *repeats]
    while deliveries:
        size = data.draw(st.integers(1, 6))
        batch, deliveries = deliveries[:size], deliveries[size:]
        reports_store([report_of(device_id, at, document) for (device_id, at), document in batch])
        if data.draw(st.booleans()):
            advance(SAMPLES, START + timedelta(minutes=data.draw(st.integers(0, 26 * 60))))
    advance(SAMPLES, LATER)
    for level in SAMPLES.levels:
        assert stored(level) == approximately(expected(known, level))
    assert LateMark.objects.count() == 0
