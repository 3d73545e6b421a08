"""What pages of the admin share: the search box, the history of an object, and the browser's time zone."""

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from devices.models import CredentialProfile, Device, PollState
from devices.services import device_create

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    cache.clear()


def search(client: Client, words: str, **more: str) -> str:
    return client.get(reverse("admin:search"), {"s": words, "extended": "1", **more}).content.decode()


def test_the_search_box_finds_devices(admin_client: Client, device: Device) -> None:
    assert "opencommand" in admin_client.get("/admin/").content.decode()
    for words in ("win-1", "WIN", "127.20.0", "127.20.0.0/16"):
        assert f"/admin/devices/device/{device.pk}/change/" in search(admin_client, words)
    assert "win-1" not in search(admin_client, "no such host")


def test_the_search_box_reads_a_bounded_number(admin_client: Client, ping_device: Device) -> None:
    for number in range(30):
        device_create(
            hostname=f"many-{number}",
            ip_address=f"10.0.0.{number}",
            plugin_id="icmp",
            port=0,
            credential_profile=ping_device.credential_profile,
        )
    assert search(admin_client, "many").count("/change/") == 20


def test_the_search_box_shows_what_one_may_see(client: Client, device: Device) -> None:
    client.force_login(User.objects.create_user("without a role", is_staff=True))
    assert "win-1" not in search(client, "win-1")


def test_the_search_box_forgets_what_one_may_no_longer_see(admin_client: Client, device: Device) -> None:
    assert "win-1" in search(admin_client, "win-1")
    device.delete()
    assert "win-1" not in search(admin_client, "win-1")


@pytest.mark.parametrize("words", ["", "\0", " ", "%", "x" * 5_000])
def test_an_odd_search(admin_client: Client, device: Device, words: str) -> None:
    answer = admin_client.get(reverse("admin:search"), {"s": words, "extended": "1", "page": "x"})
    assert answer.status_code == 200


def test_the_history_of_a_device_has_its_audit(admin_client: Client, viewer: Client, device: Device) -> None:
    path = reverse("admin:devices_device_bulk", args=["set_interval"])
    admin_client.post(path, {"ids": device.pk, "polling_interval_seconds": "300"})
    page = admin_client.get(reverse("admin:devices_device_history", args=[device.pk])).content.decode()
    assert "<strong>polling_interval_seconds</strong>: 60 → 300" in page
    assert "admin" in page
    shown = viewer.get(reverse("admin:devices_device_history", args=[device.pk]))
    assert "The role admin is needed" in shown.content.decode()


def test_the_history_of_a_credential_shows_no_secret(
    admin_client: Client, winrm_credential: CredentialProfile
) -> None:
    page = admin_client.get(
        reverse("admin:devices_credentialprofile_history", args=[winrm_credential.pk])
    ).content.decode()
    assert "[HIDDEN]" in page
    assert winrm_credential.encrypted_payload not in page


def last_polled(client: Client, zone: str) -> str:
    client.cookies["nms_timezone"] = zone
    return client.get(reverse("admin:devices_device_changelist")).content.decode()


def test_times_are_shown_in_the_browsers_time_zone(admin_client: Client, device: Device) -> None:
    PollState.objects.update(last_polled_at=datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert "2026-07-01 12:00:00" in last_polled(admin_client, "")
    assert "2026-07-01 14:00:00" in last_polled(admin_client, "Europe%2FBerlin")
    assert "2026-07-01 17:30:00" in last_polled(admin_client, "Asia/Kolkata")
    assert "2026-07-01 12:00:00" in last_polled(admin_client, "UTC")


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../../etc/passwd", "", "%00", "x" * 4_000])
def test_a_time_zone_that_is_none_is_utc(admin_client: Client, device: Device, zone: str) -> None:
    PollState.objects.update(last_polled_at=datetime(2026, 7, 1, 12, tzinfo=UTC))
    assert "2026-07-01 12:00:00" in last_polled(admin_client, zone)


def test_the_api_has_utc_alone(admin_client: Client, device: Device) -> None:
    admin_client.cookies["nms_timezone"] = "Asia/Kolkata"
    answer = admin_client.get(f"/api/v1/devices/{device.pk}")
    assert answer.json()["created_at"].endswith("Z")


def test_the_audit_by_days_of_the_browsers_time_zone(admin_client: Client, device: Device) -> None:
    admin_client.cookies["nms_timezone"] = "America/New_York"
    path = reverse("admin:accounts_auditentry_changelist")
    assert admin_client.get(path).status_code == 200
    assert admin_client.get(path, {"at__year": "2026", "at__month": "7", "at__day": "1"}).status_code == 200
