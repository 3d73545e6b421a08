"""Rollups of samples: equal to a straightforward computation, whatever the order, the batches and the
repeats.
"""

import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.models import CredentialProfile, Device
from metrics.models import LateMark, Layout, Rollup1d, Rollup1h, Rollup5m, RollupProgress, Sample
from metrics.retention import history_trim
from metrics.rollups import Ladder, Level, ladder_advance, ladder_state
from metrics.sample_rollups import MAX_LEAVES, SAMPLES
from metrics.tests.helpers import advance, forget_everything, long_reader, report_of, store
from polling.store import reports_store
from polling.tests.conftest import winrm_device

pytestmark = pytest.mark.usefixtures("committed")

START = datetime(2030, 3, 9, 22, tzinfo=UTC)
LATER = START + timedelta(hours=26, minutes=5)  # when the second day is finished
FIVE_MINUTES, HOUR, DAY = SAMPLES.levels
Leaf = tuple[float, float, float, int, float]  # low, high, total, count, last


EXPAND = """
SELECT device_id, start_at, path, coalesce(low[spot], last), coalesce(high[spot], last),
       coalesce(total[spot], last * samples), coalesce(counts[spot], samples), last
FROM (
    SELECT rollup.device_id, rollup.start_at, rollup.samples, rollup.low, rollup.high, rollup.total,
           rollup.counts, leaf.path, leaf.last, array_position(moved, position::smallint) AS spot
    FROM {table} AS rollup JOIN metrics_layout AS layout ON layout.id = rollup.layout
    CROSS JOIN LATERAL unnest(layout.paths, rollup.last) WITH ORDINALITY AS leaf (path, last, position)
) AS leaves
"""


def stored(level: Level) -> dict[tuple[int, datetime, str], Leaf]:
    with connection.cursor() as cursor:
        cursor.execute(EXPAND.format(table=level.table))
        return {(row[0], row[1], row[2]): tuple(row[3:]) for row in cursor.fetchall()}


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


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
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


# --- Single cases ---


def test_what_a_document_holds_and_what_is_no_number(three: list[Device]) -> None:
    document = {
        "cpu": {"total": 7, "0": 7.5},
        "on": True,
        "name": "x",
        "none": None,
        "list": [1, [2]],
        "e": {},
    }
    store({(three[0].pk, START): document})
    advance(SAMPLES, LATER)
    assert {path for _, _, path in stored(FIVE_MINUTES)} == {"cpu.total", "cpu.0", "list.0", "list.1.0"}


@pytest.mark.parametrize("document", ["7", "[]", '"text"', "{}", "null"])
def test_a_document_without_numeric_leaves_is_counted(three: list[Device], document: str) -> None:
    store({(three[0].pk, START): document})
    advance(SAMPLES, LATER)
    assert [(row.samples, row.last) for row in Rollup1d.objects.all()] == [(1, [])]


@pytest.mark.parametrize(
    ("number", "value"),
    [("1e400", None), ("-1e301", None), ("1e300", 1e300), ("1e-400", 0), ("-1e-310", 0), ("0.1", 0.1)],
)
def test_numbers_beyond_what_a_float_can_hold_stop_nobody(
    three: list[Device], number: str, value: float | None
) -> None:
    reports_store([report_of(three[0].pk, START, f'{{"odd": {number}, "even": 2}}')])
    advance(SAMPLES, LATER)
    found = {path: leaf[4] for (_, _, path), leaf in stored(DAY).items()}
    assert found == {"even": 2} if value is None else {"even": 2, "odd": value}


def test_deep_and_wide_documents_stop_nobody(three: list[Device]) -> None:
    deep = '{"a":' * 400 + "1" + "}" * 400
    wide = {f"key{number}": number for number in range(MAX_LEAVES + 1_000)}
    store({(three[0].pk, START): deep, (three[1].pk, START): wide, (three[2].pk, START): {"a": 1}})
    advance(SAMPLES, LATER)
    lengths = {row.device_id: len(row.last) for row in Rollup1h.objects.all()}
    assert lengths == {three[0].pk: 0, three[1].pk: MAX_LEAVES, three[2].pk: 1}


def test_devices_of_one_kind_share_a_layout(three: list[Device]) -> None:
    store({(device.pk, START): {"cpu": {"total": n}} for n, device in enumerate(three)})
    advance(SAMPLES, LATER)
    assert [layout.paths for layout in Layout.objects.all()] == [["cpu.total"]]


def test_what_does_not_move_is_stored_once(three: list[Device]) -> None:
    documents = [{"moves": n, "stays": 5, **({"comes": 1} if n else {})} for n in range(3)]
    store({(three[0].pk, START + timedelta(minutes=n)): each for n, each in enumerate(documents)})
    advance(SAMPLES, LATER)
    row = Rollup5m.objects.get()
    assert row.last == [1, 2, 5]  # comes, moves, stays
    assert (row.moved, row.low, row.high, row.total, row.counts) == ([1, 2], [1, 0], [1, 2], [2, 3], [2, 3])


def test_an_interval_is_made_when_it_is_finished_and_no_earlier(three: list[Device]) -> None:
    store({(three[0].pk, START): {"a": 1}})
    advance(SAMPLES, START + timedelta(minutes=6, seconds=59))
    assert Rollup5m.objects.count() == 0
    advance(SAMPLES, START + timedelta(minutes=7))
    assert Rollup5m.objects.count() == 1
    assert Rollup1h.objects.count() == 0


def test_catching_up_shows_how_far_it_is(three: list[Device]) -> None:
    store({(three[0].pk, START + timedelta(hours=n)): {"a": n} for n in range(3)})
    assert not ladder_advance(SAMPLES, now=LATER, seconds=0)
    advance(SAMPLES, START + timedelta(hours=1, minutes=3))
    fine, hours, days = ladder_state(SAMPLES, LATER)
    assert fine.done_until == START + timedelta(hours=1)
    assert (fine.behind, hours.behind, days.done_until) == (25 * 12, 25, datetime(2030, 3, 9, tzinfo=UTC))
    advance(SAMPLES, LATER)
    assert [level.behind for level in ladder_state(SAMPLES, LATER)] == [0, 0, 0]


def test_a_clock_that_was_ahead_costs_nothing_when_it_is_set_right(three: list[Device]) -> None:
    store({(three[0].pk, START): {"a": 1}})
    advance(SAMPLES, START + timedelta(days=2))
    store({(three[0].pk, START + timedelta(minutes=1)): {"a": 2}})
    advance(SAMPLES, START + timedelta(minutes=8))
    assert RollupProgress.objects.get(level=FIVE_MINUTES.key).done_until == START + timedelta(minutes=5)
    assert stored(FIVE_MINUTES) == {(three[0].pk, START, "a"): (1, 2, 3, 2, 2)}
    store({(three[0].pk, START + timedelta(minutes=6)): {"a": 3}})
    advance(SAMPLES, LATER)
    assert stored(DAY)[three[0].pk, datetime(2030, 3, 9, tzinfo=UTC), "a"] == (1, 3, 6, 3, 3)


def test_a_sample_that_outlived_its_neighbours_does_not_undo_their_rollup(
    three: list[Device], settings: Any
) -> None:
    """So late that the other samples of its interval have been dropped already."""
    store({(three[0].pk, START): {"a": 1}})
    advance(SAMPLES, LATER)
    settings.NMS_RETENTION_SAMPLES_DAYS = 2
    history_trim(LATER + timedelta(days=3))
    assert Sample.objects.count() == 0
    store({(three[0].pk, START + timedelta(minutes=1)): {"a": 100}})
    advance(SAMPLES, LATER + timedelta(days=3))
    assert stored(FIVE_MINUTES) == {(three[0].pk, START, "a"): (1, 1, 1, 1, 1)}
    assert LateMark.objects.count() == 0


def test_a_late_sample_older_than_its_limit_is_rolled_up_before_it_goes(
    three: list[Device], settings: Any
) -> None:
    settings.NMS_RETENTION_SAMPLES_DAYS = 2
    now = LATER + timedelta(days=3)
    store({(three[0].pk, START): {"a": 1}})
    advance(SAMPLES, now)
    store({(three[0].pk, START + timedelta(minutes=1)): {"a": 3}})
    history_trim(now)
    assert Sample.objects.count() == 2
    advance(SAMPLES, now)
    assert stored(DAY)[three[0].pk, DAY.floor(START), "a"] == (1, 3, 4, 2, 3)
    history_trim(now)
    assert Sample.objects.count() == 0


def test_a_deleted_device_is_not_repaired(three: list[Device]) -> None:
    """Its rows are being erased: made again they would be there for good."""
    gone, other = three[0].pk, three[1].pk
    store({(gone, START): {"a": 1}, (other, START): {"a": 1}})
    three[0].delete()
    for device_id in (gone, other):
        LateMark.objects.create(level=FIVE_MINUTES.key, device_id=device_id, start_at=START)
    advance(SAMPLES, LATER)
    assert {device_id for device_id, _, _ in stored(DAY)} == {other}
    assert LateMark.objects.count() == 0


def test_a_store_under_way_when_the_roll_up_begins_for_the_first_time_is_not_missed(
    three: list[Device],
) -> None:
    finished = threading.Event()

    def roll_up() -> None:
        ladder_advance(SAMPLES, now=LATER)
        finished.set()
        connection.close()

    roller = threading.Thread(target=roll_up)
    with transaction.atomic():
        store({(three[0].pk, START): {"a": 1}})  # not committed yet
        roller.start()
        assert not finished.wait(0.5)
    roller.join()
    assert stored(FIVE_MINUTES) == {(three[0].pk, START, "a"): (1, 1, 1, 1, 1)}


def test_a_level_that_cannot_keep_up_does_not_stop_those_above(three: list[Device]) -> None:
    """The finest one is given a statement that takes long."""
    store({(three[0].pk, START): {"a": 1}})
    advance(SAMPLES, START + timedelta(hours=1, minutes=10))
    slow = replace(FIVE_MINUTES, statement=f"{FIVE_MINUTES.statement}; SELECT pg_sleep(0.3)")
    RollupProgress.objects.filter(level=HOUR.key).delete()
    store({(three[0].pk, START + timedelta(hours=n)): {"a": 1} for n in range(1, 20)})
    assert not ladder_advance(Ladder("samples", (slow, HOUR, DAY)), now=LATER, seconds=1.5)
    assert Rollup1h.objects.exists()


def test_devices_added_meanwhile_are_not_left_out(
    three: list[Device], winrm_credential: CredentialProfile
) -> None:
    advance(SAMPLES, START)
    new = winrm_device(winrm_credential, 9)
    store({(new.pk, START + timedelta(minutes=1)): {"a": 1}})
    advance(SAMPLES, START + timedelta(minutes=8))
    assert {device_id for device_id, _, _ in stored(FIVE_MINUTES)} == {new.pk}


def test_a_device_that_cannot_be_made_stops_nobody(
    three: list[Device], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is known to cause it; the engine is given a statement that fails for one device."""
    bad = three[1].pk
    failing = f"count(*) + 0 / (min(device_id) - {bad}) AS samples FROM source"
    broken = FIVE_MINUTES.statement.replace("count(*) AS samples FROM source", failing)
    level = replace(FIVE_MINUTES, statement=broken)
    store({(device.pk, START): {"a": 1} for device in three})
    advance(Ladder("samples", (level, HOUR, DAY)), LATER)
    assert {device_id for device_id, _, _ in stored(DAY)} == {three[0].pk, three[2].pk}
    assert f"device {bad}" in caplog.text


def test_an_interval_that_cannot_be_made_takes_no_other_with_it(
    three: list[Device], caplog: pytest.LogCaptureFixture
) -> None:
    bad = START + timedelta(minutes=10)
    failing = (
        f"count(*) + 0 / (extract(epoch FROM min(start_at))::bigint - {int(bad.timestamp())}) AS samples"
    )
    broken = FIVE_MINUTES.statement.replace("count(*) AS samples FROM source", f"{failing} FROM source")
    level = replace(FIVE_MINUTES, statement=broken)
    store({(three[0].pk, START + n * timedelta(minutes=5)): {"a": n} for n in range(6)})
    advance(Ladder("samples", (level, HOUR, DAY)), LATER)
    made = {(start - START) // timedelta(minutes=5) for _, start, _ in stored(FIVE_MINUTES)}
    assert made == {0, 1, 3, 4, 5}
    assert caplog.text.count("is left out") == 1


def test_a_long_reader_does_not_stop_the_roll_up(three: list[Device]) -> None:
    store({(three[0].pk, START): {"a": 1}})
    with long_reader(FIVE_MINUTES.table):
        advance(SAMPLES, START + timedelta(minutes=8))
    assert Rollup5m.objects.count() == 1
