"""GET devices/{id}/explain, and the same on the device's page in the admin."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from devices.models import CredentialProfile, Device, DeviceStatus, PollState
from devices.services import database_now, device_take_off
from health.services import FailedSlot, failures_record
from polling.claim import slots_claim
from polling.models import Verdict

pytestmark = pytest.mark.django_db


def explain(api: APIClient, device: Device) -> Any:
    answer = api.get(f"/api/v1/devices/{device.pk}/explain")
    assert answer.status_code == 200, answer.content
    return answer.json()


def words(api: APIClient, device: Device) -> str:
    return " ".join(explain(api, device)["reasons"])


def test_a_new_device_and_one_being_worked_on(api: APIClient, device: Device) -> None:
    answer = explain(api, device)
    assert (answer["status"], answer["is_polled"], answer["verdicts"]) == ("active", True, [])
    assert "no verdict yet" in " ".join(answer["reasons"])
    slots_claim(limit=10, lease_seconds=40)
    assert "is being worked on" in words(api, device)
    PollState.objects.update(leased_until=database_now() - timedelta(seconds=1))
    assert "will be lost" in words(api, device)


def test_what_nobody_claims_is_overdue(api: APIClient, device: Device) -> None:
    PollState.objects.update(next_poll_at=database_now() - timedelta(minutes=5))
    assert "no scheduler claims it" in words(api, device)


def test_a_device_off_the_schedule_says_since_when_and_why(api: APIClient, device: Device) -> None:
    device_take_off(device_id=device.pk, status=DeviceStatus.INACTIVE, reason="3 failures: no route")
    answer = explain(api, device)
    assert answer["is_polled"] is False
    assert "inactive" in answer["reasons"][0]
    assert "3 failures: no route" in answer["reasons"][0]


def test_failures_and_the_newest_ten_verdicts(api: APIClient, device: Device) -> None:
    Device.objects.update(status_since=database_now() - timedelta(hours=1))
    now = database_now()
    for n in range(12):
        Verdict.objects.create(
            device_id=device.pk,
            due_at=now - timedelta(minutes=n),
            kind="timeout",
            attempted=True,
            error=f"t{n}",
        )
    failures_record([FailedSlot(device.pk, now - timedelta(minutes=n), "poll", "timeout") for n in (1, 0)])
    answer = explain(api, device)
    assert answer["failures"]["count"] == 2
    assert answer["failures"]["threshold"] == 3
    assert len(answer["verdicts"]) == 10
    assert "ended in timeout: t0" in " ".join(answer["reasons"])
    assert "2 of 3 failures" in " ".join(answer["reasons"])


def test_failures_of_before_the_window_count_no_more(api: APIClient, device: Device) -> None:
    Device.objects.update(status_since=database_now() - timedelta(hours=1))
    now = database_now()
    failures_record([FailedSlot(device.pk, now - timedelta(minutes=n), "poll", "timeout") for n in (7, 6)])
    answer = explain(api, device)
    assert (answer["failures"]["count"], answer["failures"]["last_at"]) == (0, None)
    assert "of 3 failures" not in " ".join(answer["reasons"])


def test_what_is_wrong_with_the_configuration(
    api: APIClient, device: Device, winrm_credential: CredentialProfile
) -> None:
    CredentialProfile.objects.update(encrypted_payload="nonsense")
    Device.objects.update(plugin_id="gone")
    text = words(api, device)
    assert "no plugin 'gone'" in text
    assert "cannot be decrypted" in text
    assert "nonsense" not in text


def test_without_redis_it_says_what_it_knows(api: APIClient, device: Device, settings: Any) -> None:
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    answer = explain(api, device)
    assert answer["failures"] is None
    assert "Redis is away" in " ".join(answer["reasons"])


def test_the_admin_shows_it(client: Client, device: Device, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_superuser("root"))
    page = client.get(f"/admin/devices/device/{device.pk}/change/").content.decode()
    assert "It has no verdict yet." in page
