"""Rollups of the ledger: what became of each slot, in any order of arrival, and what a stall skipped."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.models import Device, DeviceStatus, PollState
from devices.schedule import to_microseconds
from devices.services import database_now, device_provision, device_take_off, device_update
from metrics.models import LateMark, RollupProgress
from metrics.rollups import writers_share
from metrics.tests.helpers import advance
from polling.availability import availability
from polling.claim import leases_expire, slots_claim
from polling.models import FleetHour, Gap, Verdict, VerdictKind, VerdictRollup1d, VerdictRollup1h
from polling.slots import Report
from polling.store import reports_store
from polling.tests.conftest import shift_state
from polling.verdict_rollups import COUNTS, DOWN, VERDICTS, skipped_slots

pytestmark = pytest.mark.usefixtures("committed")
START = datetime(2030, 6, 9, 20, tzinfo=UTC)
LATER = START + timedelta(hours=28, minutes=5)
HOUR = timedelta(hours=1)


def verdict(device: Device, minute: int, kind: str, **fields: Any) -> Report:
    due_us = to_microseconds(START + timedelta(minutes=minute))
    return Report(device.pk, due_us, VerdictKind(kind), error=kind, **fields)


Said = tuple[str, dict[str, Any]]  # the kind of a verdict, and its other fields


def tells(said: Said) -> bool:
    kind, fields = said
    return kind in (*DOWN, "ok") and fields.get("attempted", True) and fields.get("error_code") != "quota"


def straight(
    verdicts: dict[int, Said], start: datetime, end: datetime
) -> tuple[Counter[str], int, list[Any] | None]:
    """Counts, how many say down, and the changes of an interval."""
    inside = {
        moment: said
        for minute, said in sorted(verdicts.items())
        for moment in [START + timedelta(minutes=minute)]
        if start <= moment < end
    }
    told = [(to_microseconds(at), said[0]) for at, said in inside.items() if tells(said)]
    changes: list[Any] = []
    for at, kind in told:
        if not changes or (changes[-1][1] == "ok") != (kind == "ok"):
            changes.append([at, kind, kind])
    down = sum(kind != "ok" for _, kind in told)
    return Counter(kind for kind, _ in inside.values()), down, changes if down else None


nothing: dict[str, Any] = {}
failures: list[Said] = [("poll_failed", {"error_code": "quota"}), ("auth_failed", {"attempted": False})]
sayings = st.sampled_from([*((kind.value, nothing) for kind in VerdictKind), *failures])


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(verdicts=st.dictionaries(st.integers(0, 7 * 60), sayings, min_size=1, max_size=25), data=st.data())
def test_any_delivery_ends_in_the_same_rollups(
    device: Device, verdicts: dict[int, Said], data: st.DataObject
) -> None:
    for model in (Verdict, VerdictRollup1h, VerdictRollup1d, FleetHour, RollupProgress, LateMark):
        model._default_manager.all().delete()
    order = data.draw(st.permutations(list(verdicts.items())))
    while order:
        size = data.draw(st.integers(1, 6))
        batch, order = order[:size], order[size:]
        reports_store([verdict(device, minute, kind, **fields) for minute, (kind, fields) in batch])
        if data.draw(st.booleans()):
            advance(VERDICTS, START + timedelta(minutes=data.draw(st.integers(0, 27 * 60))))
    advance(VERDICTS, LATER)
    for model, length in ((VerdictRollup1h, HOUR), (VerdictRollup1d, timedelta(days=1))):
        for row in model.objects.all():
            counts, down, changes = straight(verdicts, row.start_at, row.start_at + length)
            assert row.down == down
            assert {name: getattr(row, name) for name in COUNTS if getattr(row, name)} == counts
            shown = (
                None
                if row.changes is None
                else [[at, kind, error or "ok"] for at, kind, error in row.changes]
            )
            assert shown == changes
        counted = sum(getattr(row, name) for row in model.objects.all() for name in COUNTS)
        assert counted == len(verdicts)
    assert sum(getattr(hour, name) for hour in FleetHour.objects.all() for name in COUNTS) == len(verdicts)
    _, down, _ = straight(verdicts, START, LATER)
    assert sum(hour.down for hour in FleetHour.objects.all()) == down
    up = sum(kind == "ok" for kind, _ in verdicts.values())
    found = availability(device_id=device.pk, start=START, end=LATER, now=LATER)
    assert found.poll_success_percent == (pytest.approx(100 * up / (up + down)) if up + down else None)


def test_a_gap_never_goes_beyond_its_month(device: Device) -> None:
    slots_claim(limit=10, lease_seconds=40)
    stall(device, seconds=70 * 24 * 3_600)
    first = PollState.objects.get().next_poll_at
    assert first is not None
    slots_claim(limit=10, lease_seconds=40)
    gaps = list(Gap.objects.order_by("first_at"))
    slots = slots_skipped()
    assert slots == [first + n * timedelta(seconds=60) for n in range(len(slots))]
    assert 70 * 24 * 60 - 2 <= len(slots) <= 70 * 24 * 60
    months = [(gap.first_at.year, gap.first_at.month) for gap in gaps]
    assert len(set(months)) == len(gaps) >= 3
    for gap in gaps:
        last = gap.first_at + (gap.slots - 1) * timedelta(seconds=60)
        assert (last.year, last.month) == (gap.first_at.year, gap.first_at.month)


@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    first=st.integers(-90, 90),
    slots=st.integers(1, 200),
    interval=st.sampled_from([10, 60, 97]),
    low=st.integers(-90, 90),
    length=st.integers(0, 120),
)
def test_the_slots_of_a_gap_within_a_range(
    device: Device, first: int, slots: int, interval: int, low: int, length: int
) -> None:
    begins, start = START + timedelta(seconds=37 * first), START + timedelta(seconds=29 * low)
    end = start + timedelta(seconds=31 * length)
    Gap.objects.all().delete()
    Gap.objects.create(device_id=device.pk, first_at=begins, slots=slots, interval_seconds=interval)
    statement = f"SELECT due_at FROM polling_gap AS gap {skipped_slots('%(low)s', '%(high)s')} ORDER BY 1"
    with connection.cursor() as cursor:
        cursor.execute(statement, {"low": start, "high": end})
        found = [due_at for (due_at,) in cursor.fetchall()]
    every = [begins + n * timedelta(seconds=interval) for n in range(slots)]
    assert found == [slot for slot in every if start <= slot < end]


def test_what_says_nothing_of_the_device_is_no_change(device: Device) -> None:
    reports_store(
        [
            verdict(device, 0, "ok", rtt_ms=2.0, loss_percent=0.0),
            verdict(device, 1, "poll_failed", error_code="quota"),
            verdict(device, 2, "auth_failed", attempted=False),
            verdict(device, 3, "ok", rtt_ms=4.0, loss_percent=50.0),
        ]
    )
    advance(VERDICTS, LATER)
    hour = VerdictRollup1h.objects.get()
    assert hour.changes is None
    assert (hour.ok, hour.poll_failed, hour.auth_failed, hour.down) == (2, 1, 1, 0)
    assert (hour.rtt_min, hour.rtt_max, hour.rtt_total, hour.rtt_count) == (2, 4, 6, 2)
    assert (hour.loss_total, hour.loss_count) == (50, 2)


def test_a_real_answer_that_replaces_a_lost_one_is_counted_anew(device: Device) -> None:
    reports_store([verdict(device, 0, "lost")])
    advance(VERDICTS, LATER)
    reports_store([verdict(device, 0, "ok")])
    advance(VERDICTS, LATER)
    assert [(row.lost, row.ok) for row in VerdictRollup1d.objects.all()] == [(0, 1)]
    assert [(row.lost, row.ok) for row in FleetHour.objects.all() if row.devices] == [(0, 1)]


# --- What a stall skipped ---


def sealed_until(moment: datetime) -> None:
    RollupProgress.objects.create(level="verdicts.1h", done_until=moment, sealed_until=moment)


def slots_skipped() -> list[datetime]:
    """The moments of all gaps; a gap ends with its month."""
    return [
        gap.first_at + n * timedelta(seconds=gap.interval_seconds)
        for gap in Gap.objects.order_by("first_at")
        for n in range(gap.slots)
    ]


def stall(device: Device, *, seconds: int) -> None:
    shift_state(device.pk, seconds=-seconds)


def test_a_tick_in_time_leaves_no_gap(device: Device) -> None:
    slots_claim(limit=10, lease_seconds=40)
    stall(device, seconds=100)  # beyond the next grid point, not beyond the one after it
    slots_claim(limit=10, lease_seconds=40)
    assert sum(gap.slots for gap in Gap.objects.all()) <= 1


def test_slots_that_a_stall_skipped_are_counted_by_their_hours(device: Device) -> None:
    slots_claim(limit=10, lease_seconds=40)
    stall(device, seconds=3 * 3_600)
    first = PollState.objects.get().next_poll_at
    assert first is not None
    slots_claim(limit=10, lease_seconds=40)
    skipped = slots_skipped()
    assert 177 <= len(skipped) <= 180
    assert skipped == [first + n * timedelta(seconds=60) for n in range(len(skipped))]
    advance(VERDICTS, database_now() + 2 * HOUR)
    hours = {hour.start_at: hour.skipped for hour in VerdictRollup1h.objects.all() if hour.skipped}
    assert hours == Counter(due_at.replace(minute=0, second=0, microsecond=0) for due_at in skipped)


def provision(device: Device) -> None:
    assert device_provision(device_id=device.pk, interval_seconds=None)


def provision_slower(device: Device) -> None:
    assert device_provision(device_id=device.pk, interval_seconds=600)


def take_off(device: Device) -> None:
    assert device_take_off(device_id=device.pk, status=DeviceStatus.INACTIVE, reason="failed")


def switch_off(device: Device) -> None:
    device_update(device, status=DeviceStatus.INACTIVE)


def set_interval(device: Device) -> None:
    device_update(device, polling_interval_seconds=600)


def set_interval_and_activate(device: Device) -> None:
    device_update(device, polling_interval_seconds=30, status=DeviceStatus.ACTIVE)


BY_HAND = [provision, provision_slower, take_off, switch_off, set_interval, set_interval_and_activate]


@pytest.mark.parametrize("change", BY_HAND)
def test_slots_that_were_skipped_before_a_change_are_counted(
    device: Device, change: Callable[[Device], None]
) -> None:
    slots_claim(limit=10, lease_seconds=40)
    stall(device, seconds=3 * 3_600)
    first = PollState.objects.get().next_poll_at
    assert first is not None
    due = [(database_now() - first) // timedelta(seconds=60)]
    change(device)
    due.append((database_now() - first) // timedelta(seconds=60))
    skipped = slots_skipped()
    assert skipped == [first + n * timedelta(seconds=60) for n in range(len(skipped))]
    assert len(skipped) in due
    leases_expire(limit=10)
    slots_claim(limit=10, lease_seconds=40)
    assert slots_skipped() == skipped
    advance(VERDICTS, database_now() + 2 * HOUR)
    assert sum(hour.skipped for hour in VerdictRollup1h.objects.all()) == len(skipped)


@pytest.mark.parametrize("change", BY_HAND)
@pytest.mark.parametrize("seconds", [0, 85])  # not due, and due for less than an interval
def test_a_change_in_time_leaves_no_gap(
    device: Device, seconds: int, change: Callable[[Device], None]
) -> None:
    slots_claim(limit=10, lease_seconds=40)
    PollState.objects.update(next_poll_at=database_now() + timedelta(seconds=50))
    stall(device, seconds=seconds)
    change(device)
    assert not Gap.objects.exists()


def test_who_changes_a_device_in_a_stall_shares_the_lock_of_writers(device: Device) -> None:
    slots_claim(limit=10, lease_seconds=40)
    stall(device, seconds=3 * 3_600)
    with transaction.atomic(), connection.cursor() as cursor:
        provision(device)
        writers_share(cursor)  # the same lock once more
        cursor.execute("SELECT mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
        assert cursor.fetchall() == [("ShareLock",)]


def claim(device: Device) -> None:
    slots_claim(limit=10, lease_seconds=40)


@pytest.mark.parametrize("change", [claim, provision, take_off])
def test_a_stall_is_counted_also_in_hours_that_were_finished_meanwhile(
    device: Device, change: Callable[[Device], None]
) -> None:
    slots_claim(limit=10, lease_seconds=40)
    stall(device, seconds=3 * 3_600)
    first = PollState.objects.get().next_poll_at
    assert first is not None
    end = first.replace(minute=0, second=0, microsecond=0) + 2 * HOUR
    sealed_until(end)
    change(device)
    advance(VERDICTS, end)
    hours = VerdictRollup1h.objects.filter(start_at__lt=end)
    assert sum(hour.skipped for hour in hours) == sum(due_at < end for due_at in slots_skipped())
    assert sum(hour.lost for hour in hours) <= 1


def test_a_lost_lease_of_a_finished_hour_is_counted(device: Device) -> None:
    ((claimed,), _) = slots_claim(limit=10, lease_seconds=40)
    stall(device, seconds=2 * 3_600)
    lease = PollState.objects.get().lease_due_at
    assert lease is not None
    sealed_until(lease.replace(minute=0, second=0, microsecond=0) + HOUR)
    PollState.objects.update(next_poll_at=database_now() + HOUR)
    assert leases_expire(limit=10) == 1
    advance(VERDICTS, lease)
    assert [row.lost for row in VerdictRollup1h.objects.all()] == [1]
