"""Availability as time: against a plain computation by minutes, and while hosts are down."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.models import Device, DeviceStatus, StatusChange
from devices.schedule import to_microseconds
from metrics.models import LateMark, RollupProgress
from metrics.tests.helpers import advance
from polling.availability import availability, histories
from polling.fleet import fleet_hours, fleet_hours_fill
from polling.models import FleetHour, Verdict, VerdictKind, VerdictRollup1d, VerdictRollup1h
from polling.outages import MonitoredTime, spans, time_by_step
from polling.slots import Report
from polling.store import reports_store
from polling.verdict_rollups import DOWN, VERDICTS

pytestmark = pytest.mark.usefixtures("committed")
START = datetime(2030, 6, 9, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
HOURS = 8

Verdicts = dict[int, str]  # minute since START: kind
Changes = dict[int, str]  # minute since START, half a minute later: what became of the device


def put(device: Device, verdicts: Mapping[int, str]) -> None:
    reports_store(
        [
            Report(device.pk, to_microseconds(START + minute * MINUTE), VerdictKind(kind), error=kind)
            for minute, kind in verdicts.items()
        ]
    )


def change(device: Device, minute: int, what: str) -> None:
    at = START + (minute + 0.5) * MINUTE
    status = {"active": "active", "pending": "discovered", "broken": "error"}.get(what, "inactive")
    # An earlier release wrote the reason only.
    has_failed = None if what == "failed long ago" else what == "failed"
    reason = "3 failures within the window, the last: does not answer ping" if "failed" in what else what
    StatusChange.objects.create(
        device=device,
        old_status="active" if "failed" in what else device.status,
        new_status=status,
        reason=reason,
        has_failed=has_failed,
        at=at,
    )
    device.status, device.status_since = status, at
    device.has_failed = "failed" in what or what == "broken"
    device.save()


def state(verdicts: Verdicts, changes: Changes, half: int) -> bool | None:
    """Whether the device is up at a half minute since START; None where it is not monitored."""
    observed = [(minute, kind) for minute, kind in verdicts.items() if 2 * minute <= half]
    observed = [(minute, kind) for minute, kind in sorted(observed) if kind in (*DOWN, "ok")]
    became = [(minute, what) for minute, what in sorted(changes.items()) if 2 * minute + 1 <= half]
    minute, what = became[-1] if became else (0, "active")
    if what in ("paused", "pending", "broken"):
        return None
    if "failed" in what:
        return bool(observed and observed[-1][0] > minute and observed[-1][1] == "ok")
    return observed[-1][1] == "ok" if observed else None


def plain(verdicts: Verdicts, changes: Changes, low: int, high: int) -> MonitoredTime:
    """Between two minutes since START."""
    known = [state(verdicts, changes, half) for half in range(2 * low, 2 * high)]
    return MonitoredTime(30 * (known.count(True) + known.count(False)), 30 * known.count(False))


kinds = st.sampled_from(["ok", "ok", "ok", "ping_failed", "timeout", "plugin_error", "lost"])
became = st.sampled_from(["active", "active", "failed", "failed long ago", "paused", "pending", "broken"])
minutes = st.integers(0, HOURS * 60 - 1)


@st.composite
def lives(draw: st.DrawFn) -> tuple[Verdicts, Changes]:
    verdicts = draw(st.dictionaries(minutes, kinds, max_size=20))
    changes = draw(st.dictionaries(minutes, became, max_size=6))
    for minute, what in changes.items():
        if "failed" in what:  # it was the last straw
            verdicts[minute] = "ping_failed"
    return verdicts, changes


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    one=lives(), other=lives(), asked=st.tuples(minutes, minutes), rolled_up_hours=st.integers(0, HOURS + 20)
)
def test_against_a_plain_computation(
    device: Device,
    ping_device: Device,
    one: tuple[Verdicts, Changes],
    other: tuple[Verdicts, Changes],
    asked: tuple[int, int],
    rolled_up_hours: int,
) -> None:
    for model in (Verdict, VerdictRollup1h, VerdictRollup1d, FleetHour, RollupProgress, LateMark):
        model._default_manager.all().delete()
    StatusChange.objects.all().delete()
    known = {device: one, ping_device: other}
    for each, (verdicts, changes) in known.items():
        each.status, each.has_failed, each.status_since = DeviceStatus.ACTIVE, False, START - HOUR
        each.save()
        put(each, verdicts)
        for minute, what in sorted(changes.items()):
            change(each, minute, what)
    advance(VERDICTS, START + rolled_up_hours * HOUR + 10 * MINUTE)
    end = START + HOURS * HOUR
    low, high = min(asked), max(asked) + 1
    for each, (verdicts, changes) in known.items():
        found = availability(
            device_id=each.pk, start=START + low * MINUTE, end=START + high * MINUTE, now=end
        )
        assert found.time == plain(verdicts, changes, low, high)
        assert sum(outage.seconds for outage in found.outages) == found.time.outage
        by_hour = time_by_step(spans(histories([each.pk], START, end)[each.pk], START, end), HOUR)
        for n in range(HOURS):
            expected = plain(verdicts, changes, 60 * n, 60 * (n + 1))
            assert by_hour.get(START + n * HOUR, MonitoredTime()) == expected
    fill()
    hours = {hour.start: hour.time for hour in fleet_hours(start=START, end=end, now=end)}
    for n in range(HOURS):
        total = MonitoredTime()
        for verdicts, changes in known.values():
            total.add(plain(verdicts, changes, 60 * n, 60 * (n + 1)))
        assert hours.get(START + n * HOUR, MonitoredTime()) == total


def fill() -> None:
    while not fleet_hours_fill():
        pass


def figures(hours: int) -> list[float | None]:
    """Of all devices, over the first hour, the first two, and so on."""
    shown = []
    time = MonitoredTime()
    for hour in fleet_hours(start=START, end=START + hours * HOUR, now=START + hours * HOUR):
        assert hour.time is not None
        time.add(hour.time)
        shown.append(time.percent)
    return shown


@pytest.mark.parametrize("deactivated", ["failed", "failed long ago"])
def test_one_host_dies_and_the_figure_falls_every_hour(
    device: Device, ping_device: Device, deactivated: str
) -> None:
    Device.objects.update(status_since=START - HOUR)
    put(device, dict.fromkeys(range(HOURS * 60), "ok"))
    put(ping_device, {**dict.fromkeys(range(50), "ok"), **dict.fromkeys((50, 51, 52), "ping_failed")})
    change(ping_device, 52, deactivated)
    before = figures(HOURS)
    assert before[0] == pytest.approx(100 * (1 - 10 / 120))
    assert all(later < sooner for sooner, later in zip(before, before[1:], strict=False))  # type: ignore[operator]
    assert before[-1] == pytest.approx(100 * (1 - (10 + (HOURS - 1) * 60) / (HOURS * 120)))
    advance(VERDICTS, START + HOURS * HOUR + 5 * MINUTE)
    fill()
    assert figures(HOURS) == before
    found = availability(
        device_id=ping_device.pk, start=START, end=START + HOURS * HOUR, now=START + HOURS * HOUR
    )
    (outage,) = found.outages
    assert (outage.start, outage.end, outage.kind) == (START + 50 * MINUTE, None, "ping_failed")
    assert outage.seconds == found.time.outage == (10 + (HOURS - 1) * 60) * 60
    assert found.time.percent == pytest.approx(100 * 50 / (HOURS * 60))


def test_all_hosts_are_down_for_hours_in_which_nothing_is_due(device: Device) -> None:
    Device.objects.update(status_since=START - HOUR)
    put(device, {0: "ok", 1: "timeout"})
    change(device, 1, "failed")
    advance(VERDICTS, START + 5 * HOUR + 5 * MINUTE)
    fill()
    hours = fleet_hours(start=START, end=START + 5 * HOUR, now=START + 5 * HOUR)
    assert [hour.time for hour in hours[1:]] == [MonitoredTime(3600, 3600)] * 4


def ended(device: Device, how: str) -> Any:
    Device.objects.update(status_since=START - HOUR)
    put(device, {0: "ok", 10: "timeout"})
    change(device, 10, "failed")
    change(device, 20, how)
    return availability(device_id=device.pk, start=START, end=START + HOUR, now=START + HOUR)


def test_a_person_ends_an_outage_by_pausing_the_device(device: Device) -> None:
    found = ended(device, "paused")
    (outage,) = found.outages
    assert (outage.start, outage.end) == (START + 10 * MINUTE, START + 20.5 * MINUTE)
    assert found.time == MonitoredTime(20.5 * 60, 10.5 * 60)


def test_an_outage_goes_on_over_provisioning_until_the_device_answers(device: Device) -> None:
    found = ended(device, "active")
    assert found.outages[0].end is None
    put(device, {21: "ok"})
    found = availability(device_id=device.pk, start=START, end=START + HOUR, now=START + HOUR)
    (outage,) = found.outages
    assert (outage.end, found.time) == (START + 21 * MINUTE, MonitoredTime(3600, 11 * 60))


def test_a_late_answer_changes_the_hour_after_it_as_well(device: Device) -> None:
    Device.objects.update(status_since=START - HOUR)
    put(device, {0: "ok", 59: "lost", 90: "ok"})
    advance(VERDICTS, START + 4 * HOUR)
    fill()
    put(device, {59: "timeout"})
    advance(VERDICTS, START + 4 * HOUR)
    fill()
    hours = fleet_hours(start=START, end=START + 2 * HOUR, now=START + 2 * HOUR)
    assert [hour.time for hour in hours] == [MonitoredTime(3600, 60), MonitoredTime(3600, 30 * 60)]
