"""From failed slots to deactivated devices."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from devices.models import Device, DeviceStatus, PollState
from devices.services import device_deactivate, device_provision
from health import services
from health.services import FailedSlot, failures_record, successes_record

pytestmark = pytest.mark.usefixtures("committed")


def fail(device: Device, *minutes: float, stage: str = "ping") -> list[int]:
    slots = [
        FailedSlot(device.pk, device.status_since + timedelta(minutes=minute), stage, "no answer to ping")
        for minute in minutes
    ]
    return failures_record(slots)


def test_three_failures_deactivate_with_reason_time_and_event(device: Device) -> None:
    assert fail(device, 1, 2) == []
    assert fail(device, 3) == [device.pk]
    before = device.status_since
    device.refresh_from_db()
    assert device.status == DeviceStatus.INACTIVE
    assert "no answer to ping" in device.status_reason
    assert device.status_since > before
    assert PollState.objects.get(device=device).next_poll_at is None
    change = device.status_changes.first()
    assert change is not None
    assert (change.old_status, change.new_status, change.reason) == (
        "active",
        "inactive",
        device.status_reason,
    )


def test_a_deactivation_that_failed_is_made_up_for(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(**_: Any) -> bool:
        raise OperationalError("PostgreSQL restarts")

    with monkeypatch.context() as broken:
        broken.setattr(services, "device_take_off", away)
        with pytest.raises(OperationalError):
            fail(device, 1, 2, 3)
    assert fail(device, 1, 2, 3) == [device.pk]


def test_the_first_slot_after_provisioning_counts(device: Device, settings: Any) -> None:
    settings.NMS_FAILURE_THRESHOLD = 1
    assert fail(device, -1) == []
    assert fail(device, 0) == [device.pk]


def test_ping_and_poll_share_the_counter(device: Device) -> None:
    fail(device, 1, stage="ping")
    fail(device, 2, stage="poll")
    assert fail(device, 3, stage="ping") == [device.pk]


def test_the_same_batch_again_counts_nothing(device: Device) -> None:
    fail(device, 1, 2)
    assert fail(device, 1, 2) == []
    device.refresh_from_db()
    assert device.status == DeviceStatus.ACTIVE


def test_provisioning_starts_the_count_afresh(device: Device) -> None:
    fail(device, 1, 2)
    device_provision(device_id=device.pk, interval_seconds=None)
    device.refresh_from_db()
    assert fail(device, 1, 2) == []
    assert fail(device, 3) == [device.pk]


def test_failures_from_before_provisioning_count_nothing(device: Device) -> None:
    assert fail(device, -3, -2, -1) == []


def test_the_slot_that_provisioning_made_counts(device: Device) -> None:
    assert fail(device, 0, 1, 2) == [device.pk]


def test_failures_of_a_deactivated_device_count_nothing(device: Device) -> None:
    device_deactivate(device_id=device.pk, reason="by hand")
    assert fail(device, 1, 2, 3) == []
    device.refresh_from_db()
    assert device.status_reason == "by hand"


def test_a_success_does_not_reset_the_count(device: Device) -> None:
    fail(device, 1, 2)
    successes_record([device.pk])
    assert fail(device, 3) == [device.pk]


def test_by_setting_a_success_resets_the_count(device: Device, settings: Any) -> None:
    settings.NMS_SUCCESS_RESETS_FAILURES = True
    fail(device, 1, 2)
    successes_record([device.pk])
    assert fail(device, 3) == []


def test_redis_away_deactivates_nobody(device: Device, settings: Any) -> None:
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    assert fail(device, 1, 2, 3) == []
    device.refresh_from_db()
    assert device.status == DeviceStatus.ACTIVE


def test_a_deleted_device_is_passed_over(device: Device) -> None:
    gone = FailedSlot(device.pk + 1, device.status_since + timedelta(minutes=1), "ping", "")
    assert failures_record([gone]) == []
