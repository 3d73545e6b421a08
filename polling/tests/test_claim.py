"""The claim: slots on the device's own grid, leases, `overrun`, `lost`, and clocks that jump."""

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError, close_old_connections, connection, transaction

from devices.models import CredentialProfile, Device, PollState
from devices.schedule import EPOCH, to_microseconds
from devices.services import database_now, device_provision
from metrics.tests.helpers import store
from polling.claim import Claimed, leases_expire, slots_claim, slots_reset
from polling.clock_watch import ClockWatch
from polling.models import Gap, VerdictKind
from polling.slots import Report
from polling.store import LOCK, reports_store
from polling.tests.conftest import shift_state, verdict_kinds, winrm_device

pytestmark = pytest.mark.usefixtures("committed")
LEASE = 40.0


def claim() -> list[Claimed]:
    return slots_claim(limit=1_000, lease_seconds=LEASE)[0]


def reset() -> int:
    return slots_reset(lease_seconds=LEASE)


def is_on_grid(state: PollState) -> bool:
    assert state.next_poll_at is not None
    since = state.next_poll_at - EPOCH - timedelta(milliseconds=state.grid_offset_ms)
    return since % timedelta(seconds=state.interval_seconds) == timedelta(0)


def test_a_new_active_device_is_due_at_the_time_it_was_provisioned(device: Device) -> None:
    (claimed,) = claim()
    assert claimed.due_at == device.status_since
    assert (claimed.should_ping, claimed.plugin_id) == (True, "winrm")


def test_its_next_slot_is_on_its_grid_half_an_interval_away_at_least(device: Device) -> None:
    claim()
    state = PollState.objects.get(device=device)
    assert is_on_grid(state)
    assert state.next_poll_at is not None
    assert timedelta(seconds=30) <= state.next_poll_at - device.status_since < timedelta(seconds=90)


def test_nothing_is_claimed_twice(device: Device) -> None:
    assert len(claim()) == 1
    assert claim() == []


def test_devices_that_are_not_active_are_not_due(device: Device) -> None:
    PollState.objects.filter(device=device).update(next_poll_at=None)
    assert claim() == []


def test_slots_skipped_in_a_stall_collapse_into_the_latest(device: Device) -> None:
    claim()
    PollState.objects.update(lease_due_at=None, leased_until=None)
    shift_state(device.pk, seconds=-600)
    before = database_now()
    (claimed,) = claim()
    assert before - timedelta(seconds=60) < claimed.due_at <= before + timedelta(seconds=5)
    assert claim() == []


def test_the_first_slot_of_a_device_is_not_skipped_for_one_of_its_grid(device: Device) -> None:
    now = database_now()
    ahead_ms = to_microseconds(now - timedelta(seconds=2)) // 1_000 % 60_000  # a grid point after the slot
    PollState.objects.update(next_poll_at=now - timedelta(seconds=4), grid_offset_ms=ahead_ms)
    (claimed,) = claim()
    assert claimed.due_at > now - timedelta(seconds=3)
    assert not Gap.objects.exists()


def test_a_slot_beside_a_live_lease_is_an_overrun(device: Device) -> None:
    (first,) = claim()
    PollState.objects.update(next_poll_at=database_now())
    assert claim() == []
    assert verdict_kinds(device.pk) == ["overrun"]
    assert PollState.objects.get(device=device).lease_due_at == first.due_at


def test_a_lease_that_ran_out_is_lost_and_the_new_slot_is_leased(device: Device) -> None:
    (first,) = claim()
    shift_state(device.pk, seconds=-100)
    (second,) = claim()
    assert verdict_kinds(device.pk) == ["lost"]
    state = PollState.objects.get(device=device)
    assert state.lease_due_at == second.due_at != first.due_at
    assert state.last_verdict == "lost"


def test_a_lease_that_ran_out_is_lost_also_when_the_device_is_not_due(device: Device) -> None:
    claim()
    PollState.objects.update(leased_until=database_now() - timedelta(seconds=1))
    assert leases_expire(limit=10) == 1
    assert verdict_kinds(device.pk) == ["lost"]
    assert leases_expire(limit=10) == 0


def test_due_at_never_repeats(device: Device) -> None:
    (first,) = claim()
    PollState.objects.update(lease_due_at=None, leased_until=None, next_poll_at=first.due_at)
    (second,) = claim()
    assert second.due_at > first.due_at


def test_a_clock_that_jumped_back_costs_one_interval_at_most(device: Device) -> None:
    claim()
    shift_state(device.pk, seconds=3_600)
    assert claim() == []
    assert reset() == 1
    state = PollState.objects.get(device=device)
    assert state.next_poll_at is not None
    assert timedelta(0) < state.next_poll_at - database_now() <= timedelta(seconds=60)


def test_a_lease_of_before_a_jump_back_ends_like_a_new_one(device: Device) -> None:
    claim()
    running = PollState.objects.get().leased_until
    reset()
    assert PollState.objects.get().leased_until == running
    shift_state(device.pk, seconds=3_600)
    reset()
    state = PollState.objects.get()
    assert state.leased_until is not None
    assert timedelta(seconds=LEASE - 5) < state.leased_until - database_now() <= timedelta(seconds=LEASE)


def test_a_reset_locks_in_the_order_of_the_store(winrm_credential: CredentialProfile) -> None:
    ids = [winrm_device(winrm_credential, last).pk for last in range(1, 31)]
    errors: list[Exception] = []

    def store_like() -> None:
        try:
            for _ in range(40):
                with transaction.atomic(), connection.cursor() as cursor:
                    for device_id in ids:
                        cursor.execute(LOCK, [[device_id]])
        except OperationalError as error:
            errors.append(error)
        finally:
            connection.close()

    storing = threading.Thread(target=store_like)
    storing.start()
    while storing.is_alive():
        for device_id in reversed(ids):  # so that they lie in the table the other way round
            shift_state(device_id, seconds=7_200)
        assert reset() == len(ids)
    storing.join()
    assert errors == []


def test_what_was_polled_ahead_is_the_newest_of_nothing(device: Device) -> None:
    now = database_now()
    before, ahead = now - timedelta(minutes=1), now + timedelta(hours=3)
    store({(device.pk, before): {"a": 1}, (device.pk, ahead): {"a": 2}})
    assert PollState.objects.get().newest_sample_at == ahead
    reset()
    state = PollState.objects.get()
    assert state.newest_sample_at == before
    assert state.last_polled_at is not None
    assert state.last_polled_at <= database_now()
    next_at = database_now()
    reports_store([Report(device.pk, to_microseconds(next_at), VerdictKind.TIMEOUT)])
    assert PollState.objects.get().last_verdict == "timeout"


def test_what_a_clock_that_was_ahead_skipped_is_not_skipped(device: Device) -> None:
    now = database_now()
    minute = timedelta(minutes=1)
    for first_at, slots in ((now - 60 * minute, 30), (now - 10 * minute, 60), (now + 60 * minute, 60)):
        Gap.objects.create(device_id=device.pk, first_at=first_at, slots=slots, interval_seconds=60)
    reset()
    assert [gap.slots for gap in Gap.objects.order_by("first_at")] == [30, 11]


@pytest.mark.parametrize("is_claimed", [True, False])
def test_what_was_polled_before_a_jump_back_is_not_skipped_by_a_jump_ahead(
    device: Device, is_claimed: bool
) -> None:
    """The clock was set back by 20 minutes, and ahead again by 30: ten minutes nobody had seen."""
    now = database_now()
    minute = timedelta(minutes=1)
    PollState.objects.update(
        interval_seconds=60, next_poll_at=now - 30 * minute, last_due_at=now - 10 * minute, lease_due_at=None
    )
    if is_claimed:
        claim()
    else:  # what moves it is not the claim
        PollState.objects.update(next_poll_at=now + minute)
    gaps = Gap.objects.all()
    assert 8 <= sum(gap.slots for gap in gaps) <= 10
    assert min(gap.first_at for gap in gaps) > now - 10 * minute


def test_a_clock_that_was_set_back_is_noticed_at_the_next_tick() -> None:
    watch = ClockWatch()
    offset = watch.offset()
    assert offset is not None
    assert not watch.was_set_back(offset)
    watch.keep(offset)
    again = watch.offset()
    assert again is not None
    assert not watch.was_set_back(again)
    assert watch.was_set_back(offset - 3_600)
    assert watch.was_set_back(offset - 3_600)  # until what follows from it is done
    watch.keep(offset - 3_600)
    assert not watch.was_set_back(offset - 3_600)
    assert not watch.was_set_back(offset)


def test_a_slow_query_says_nothing_of_the_clock() -> None:
    moments = iter([100.0, 103.0])
    assert ClockWatch(lambda: next(moments)).offset() is None


def test_no_slot_of_before_a_jump_back_is_used_again(device: Device) -> None:
    claim()
    shift_state(device.pk, seconds=3_600)
    used = PollState.objects.get(device=device).last_due_at
    PollState.objects.update(lease_due_at=None, leased_until=None, next_poll_at=database_now())
    (first,) = claim()
    assert PollState.objects.get(device=device).last_due_at == used
    PollState.objects.update(lease_due_at=None, leased_until=None, next_poll_at=database_now())
    (second,) = claim()
    assert first.due_at < second.due_at


def test_a_slot_after_provisioning_is_no_jump(device: Device) -> None:
    claim()
    assert reset() == 0


def test_provisioning_makes_it_due_now_and_keeps_the_running_lease(device: Device) -> None:
    (first,) = claim()
    device_provision(device_id=device.pk, interval_seconds=120)
    state = PollState.objects.get(device=device)
    assert state.lease_due_at == first.due_at
    assert state.interval_seconds == 120
    assert state.next_poll_at is not None
    assert state.next_poll_at > first.due_at


def test_the_limit_is_kept_and_the_oldest_go_first(winrm_credential: CredentialProfile) -> None:
    devices = [winrm_device(winrm_credential, last) for last in range(1, 6)]
    for position, device in enumerate(devices):
        PollState.objects.filter(device=device).update(
            next_poll_at=database_now() - timedelta(seconds=60 - position)
        )
    claimed, due = slots_claim(limit=2, lease_seconds=LEASE)
    assert due == 2
    assert {slot.device_id for slot in claimed} == {devices[0].pk, devices[1].pk}


def test_two_schedulers_at_once_share_the_work_and_double_nothing(
    winrm_credential: CredentialProfile,
) -> None:
    for last in range(1, 101):
        winrm_device(winrm_credential, last)
    claimed: list[int] = []

    def schedule() -> None:
        try:
            for _ in range(30):
                claimed.extend(slot.device_id for slot in slots_claim(limit=7, lease_seconds=LEASE)[0])
        finally:
            close_old_connections()
            connection.close()

    threads = [threading.Thread(target=schedule) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(Device.objects.values_list("pk", flat=True))
