"""The list of devices: its filters, the last day of each row, views that are saved, and changes of many."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from console.bulk import ACTIONS, CHUNK_DEVICES
from console.models import SavedView
from console.strip_svg import strip_svg
from devices import bulk
from devices.models import Device, DeviceStatus, PollState
from devices.schedule import to_microseconds
from devices.services import database_now, device_create, device_deactivate, device_take_off
from metrics.models import RollupProgress
from metrics.partitions import partitions_ensure
from polling.models import Verdict, VerdictRollup1h
from polling.problems import problems_now
from polling.strips import HOURS, strips
from polling.verdict_rollups import COUNTS, VERDICTS

pytestmark = pytest.mark.django_db
LIST = "/admin/devices/device/"


def names(client: Client, query: dict[str, Any]) -> list[str]:
    return [device.hostname for device in client.get(LIST, query).context["cl"].result_list]


def hour(device: Device, hours_ago: int, *, down_minutes: int = 0) -> None:
    """Roll up an hour of the device, of which it was down for the first minutes."""
    at = database_now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=hours_ago)
    zeros = dict.fromkeys(("rtt_total", "rtt_count", "loss_total", "loss_count", *COUNTS, "down"), 0)
    changes = None
    if down_minutes:
        up_at = at + timedelta(minutes=down_minutes)
        changes = [[to_microseconds(at), "timeout", ""]]
        changes += [[to_microseconds(up_at), "ok", ""]] if down_minutes < 60 else []
    VerdictRollup1h.objects.create(device_id=device.pk, start_at=at, first_at=at, changes=changes, **zeros)


def test_devices_are_filtered_by_state(admin_client: Client, device: Device, ping_device: Device) -> None:
    assert names(admin_client, {"state": "problem"}) == []
    assert sorted(names(admin_client, {"state": "waiting"})) == ["127.21.0.1", "win-1"]
    assert sorted(names(admin_client, {"state": "unmonitored"})) == ["127.21.0.1", "win-1"]
    PollState.objects.filter(device=device).update(last_verdict="auth_failed")
    device_take_off(device_id=ping_device.pk, status=DeviceStatus.INACTIVE, reason="x")
    assert sorted(names(admin_client, {"state": "problem"})) == ["127.21.0.1", "win-1"]
    assert names(admin_client, {"state": "down"}) == ["127.21.0.1"]
    assert names(admin_client, {"state": "login"}) == ["win-1"]
    assert names(admin_client, {"state": "failing"}) == ["win-1"]
    assert names(admin_client, {"state": "up"}) == []
    device_deactivate(device_id=ping_device.pk, reason="sold")
    assert names(admin_client, {"state": "down"}) == []
    assert names(admin_client, {"state": "paused"}) == ["127.21.0.1"]
    assert len(names(admin_client, {"state": "nonsense"})) == 2


def test_the_worst_comes_first_and_then_names_in_natural_order(
    admin_client: Client, device: Device, ping_device: Device
) -> None:
    statuses = {
        "sw10": "active",
        "SW2": "active",
        "sw9": "active",
        "new": "discovered",
        "off": "inactive",
        "broken": "active",
        "dead": "active",
    }
    made = {
        name: device_create(
            hostname=name,
            ip_address=f"10.0.0.{number}",
            plugin_id="icmp",
            port=0,
            status=status,
            credential_profile=ping_device.credential_profile,
        )
        for number, (name, status) in enumerate(statuses.items(), 1)
    }
    PollState.objects.filter(device__hostname__istartswith="sw").update(last_verdict="ok")
    PollState.objects.filter(device=device).update(last_verdict="ok")
    PollState.objects.filter(device=made["broken"]).update(last_verdict="timeout")
    device_take_off(device_id=made["dead"].pk, status=DeviceStatus.INACTIVE, reason="x")
    order = ["dead", "broken", "127.21.0.1", "SW2", "sw9", "sw10", "win-1", "new", "off"]
    assert names(admin_client, {}) == order
    assert names(admin_client, {"o": "1", "state": "up"}) == ["SW2", "sw9", "sw10", "win-1"]
    shown = names(admin_client, {"o": "2"})
    assert shown[:2] == ["sw10", "SW2"]
    assert shown[-2:] == ["win-1", "127.21.0.1"]  # 10.0.0.2 before 127.20.0.1 before 127.21.0.1


def test_the_list_searches_networks(admin_client: Client, device: Device, ping_device: Device) -> None:
    assert names(admin_client, {"q": "127.20.0.0/16"}) == ["win-1"]


@pytest.fixture
def rolled_up(db: None) -> None:
    """Up to the beginning of this hour."""
    now = database_now()
    at = now.replace(minute=0, second=0, microsecond=0)
    RollupProgress.objects.create(level=VERDICTS.levels[0].key, done_until=at, sealed_until=at)
    partitions_ensure("polling_verdict", now, now)


def verdict(device: Device, number: int, kind: str) -> None:
    due = database_now().replace(minute=0, second=0, microsecond=0) + timedelta(microseconds=number)
    Verdict.objects.create(device_id=device.pk, due_at=due, kind=kind, attempted=True)


@pytest.mark.usefixtures("rolled_up")
def test_each_row_has_its_last_day(admin_client: Client, device: Device) -> None:
    hour(device, 2, down_minutes=30)
    hour(device, 1)
    page = admin_client.get(LIST).content.decode()
    percent = re.search(r'aria-label="24 hours: ([0-9.]+) % up"', page)
    assert percent is not None
    assert 75 <= float(percent[1]) <= 84  # half an hour of two hours and what this one has of it


@pytest.mark.usefixtures("rolled_up")
def test_a_day_by_hours(device: Device, ping_device: Device) -> None:
    hour(device, 24, down_minutes=60)  # longer ago: that it was down when the day began is known
    hour(device, 23, down_minutes=15)
    hour(device, 2, down_minutes=60)
    verdict(device, 0, "ok")
    verdict(device, 1, "plugin_error")  # shows nothing about the device
    found = strips([device.pk, ping_device.pk], database_now())
    strip = found[device.pk]
    assert len(strip.hours) == HOURS
    assert list(strip.hours[:2]) == [75, 100]
    assert list(strip.hours[-3:]) == [0, 0, 100]  # the hour before this one has no verdict: it stayed down
    assert found[ping_device.pk].percent is None
    assert set(found[ping_device.pk].hours) == {None}
    drawn = strip_svg(strip)
    up, down = re.findall(r'd="([^"]*)"', drawn)
    assert (up.count("M"), down.count("M")) == (22, 3)
    assert "not monitored" in strip_svg(found[ping_device.pk])


def test_a_list_has_a_constant_number_of_queries(
    admin_client: Client, device: Device, ping_device: Device, django_assert_num_queries: Any
) -> None:
    admin_client.get(LIST)
    with django_assert_num_queries(14):
        admin_client.get(LIST)
    for number in range(30):
        device_create(
            hostname=f"h{number}",
            ip_address=f"10.0.0.{number}",
            plugin_id="icmp",
            port=0,
            credential_profile=ping_device.credential_profile,
        )
    with django_assert_num_queries(14):
        assert len(names(admin_client, {})) == 32


def save(client: Client, name: str, query: str, **more: str) -> Any:
    return client.post(f"{LIST}views/", {"name": name, "query": query, **more}, follow=True)


def test_a_view_is_saved_without_its_page(admin_client: Client) -> None:
    answer = save(admin_client, " Down ", "state=down&q=web&p=3")
    assert answer.redirect_chain == [(f"{LIST}?state=down&q=web", 302)]
    assert 'aria-current="page">Down' in answer.content.decode()
    save(admin_client, "Down", "state=login")
    assert SavedView.objects.get().query == "state=login"
    admin_client.post(f"{LIST}views/", {"forget": "Down"})
    assert not SavedView.objects.exists()


@pytest.mark.parametrize("name", ["", "  ", "x" * 65, "a\0b"])
def test_a_view_that_cannot_be_kept_says_why(admin_client: Client, name: str) -> None:
    assert "A view needs a name" in save(admin_client, name, "q=1").content.decode()
    assert "too long" in save(admin_client, "long", f"q={'x' * 2_001}").content.decode()
    assert not SavedView.objects.exists()


def test_a_shared_view_is_for_everybody_and_its_owners_to_forget(
    admin_client: Client, viewer: Client, device: Device
) -> None:
    save(admin_client, "All Windows", "plugin_id=winrm", is_shared="on")
    save(admin_client, "My own", "q=mine")
    save(viewer, "Mine <b>", "q=1", is_shared="on")  # may keep one, and not for others
    assert list(SavedView.objects.filter(is_shared=True).values_list("name", flat=True)) == ["All Windows"]
    page = viewer.get(LIST).content.decode()
    assert "All Windows" in page
    assert "My own" not in page
    assert "Mine &lt;b&gt;" in page
    viewer.post(f"{LIST}views/", {"forget": "All Windows"})
    assert SavedView.objects.filter(name="All Windows").exists()


def test_an_action_asks_before_it_is_done(admin_client: Client, device: Device, ping_device: Device) -> None:
    ids = [device.pk, ping_device.pk]
    page = admin_client.post(LIST, {"action": "deactivate", "_selected_action": ids}).content.decode()
    assert "Deactivate 2 devices" in page
    assert Device.objects.filter(status=DeviceStatus.ACTIVE).count() == 2
    every = {"action": "provision", "_selected_action": device.pk, "select_across": "1"}
    assert "Provision 2 devices" in admin_client.post(LIST, every).content.decode()


def ask(client: Client, action: str, ids: list[int], **fields: str) -> Any:
    path = reverse("admin:devices_device_bulk", args=[action])
    return client.post(path, {"ids": ",".join(map(str, ids)), **fields})


def test_each_device_has_its_outcome(admin_client: Client, device: Device) -> None:
    rows = ask(admin_client, "deactivate", [device.pk, 999_999]).json()["rows"]
    assert [(row["id"], row["outcome"]) for row in rows] == [
        (device.pk, "deactivated"),
        (999_999, "not_found"),
    ]
    assert (rows[0]["name"], rows[0]["address"]) == ("win-1", "127.20.0.1")
    device.refresh_from_db()
    assert (device.status, device.status_reason) == (DeviceStatus.INACTIVE, "deactivated by admin")
    assert ask(admin_client, "deactivate", [device.pk]).json()["rows"][0]["outcome"] == "unchanged"
    assert ask(admin_client, "provision", [device.pk]).json()["rows"][0]["outcome"] == "provisioned"
    Device.objects.update(remembered={"host_key": "x"})
    assert ask(admin_client, "forget", [device.pk]).json()["rows"][0]["outcome"] == "forgotten"
    assert Device.objects.get().remembered == {}
    assert ask(admin_client, "delete", [device.pk]).json()["rows"][0]["outcome"] == "deleted"
    assert not Device.objects.exists()


@pytest.mark.parametrize(("sent", "stored"), [("300", 300), ("5", 60), ("", 60), ("x", 60)])
def test_the_interval_of_many_is_set(admin_client: Client, device: Device, sent: str, stored: int) -> None:
    answer = ask(admin_client, "set_interval", [device.pk], polling_interval_seconds=sent)
    if stored == 60:
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith("Interval in seconds: ")
    device.refresh_from_db()
    assert device.polling_interval_seconds == stored


def test_an_acknowledgement_leaves_a_trace_and_can_be_taken_back(
    admin_client: Client, device: Device
) -> None:
    device_take_off(device_id=device.pk, status=DeviceStatus.INACTIVE, reason="x")
    assert names(admin_client, {"state": "problem"}) == ["win-1"]
    assert ask(admin_client, "acknowledge", [device.pk]).json()["rows"][0]["outcome"] == "acknowledged"
    assert ask(admin_client, "acknowledge", [device.pk]).json()["rows"][0]["outcome"] == "unchanged"
    assert bulk.devices_acknowledge([999_999], by="admin") == {999_999: bulk.Outcome.NOT_FOUND}
    assert names(admin_client, {"state": "problem"}) == []
    assert names(admin_client, {"state": "down"}) == ["win-1"]
    assert names(admin_client, {"state": "acknowledged"}) == ["win-1"]
    device.refresh_from_db()
    assert (device.status, device.status_reason) == (DeviceStatus.INACTIVE, "x")
    assert device.acknowledged_by == "admin"
    assert device.acknowledged_at is not None
    assert "acknowledged by admin" in admin_client.get(LIST).content.decode()
    assert "Acknowledged by admin" in admin_client.get(f"{LIST}{device.pk}/live/").content.decode()
    entry = AuditEntry.objects.get(object_type="device", action="change")
    assert (entry.actor, (entry.after or {})["acknowledged_by"]) == ("admin", "admin")
    assert ask(admin_client, "unacknowledge", [device.pk]).json()["rows"][0]["outcome"] == "unacknowledged"
    assert ask(admin_client, "unacknowledge", [device.pk]).json()["rows"][0]["outcome"] == "unchanged"
    assert names(admin_client, {"state": "problem"}) == ["win-1"]


def test_an_acknowledgement_ends_with_the_failure(admin_client: Client, device: Device) -> None:
    device_take_off(device_id=device.pk, status=DeviceStatus.INACTIVE, reason="x")
    bulk.devices_acknowledge([device.pk], by="admin")
    bulk.devices_provision([device.pk], interval_seconds=None)
    device_take_off(device_id=device.pk, status=DeviceStatus.INACTIVE, reason="again")
    assert names(admin_client, {"state": "problem"}) == ["win-1"]


def test_an_acknowledgement_of_an_earlier_failure_does_not_count(
    admin_client: Client, device: Device
) -> None:
    """An older process does not clear it."""
    device_take_off(device_id=device.pk, status=DeviceStatus.INACTIVE, reason="x")
    long_ago = database_now() - timedelta(days=1)
    Device.objects.update(acknowledged_by="admin", acknowledged_at=long_ago)
    assert names(admin_client, {"state": "problem"}) == ["win-1"]
    assert names(admin_client, {"state": "acknowledged"}) == []
    assert "acknowledged by" not in admin_client.get(LIST).content.decode()
    assert problems_now(database_now(), limit=5).total == 1
    assert bulk.devices_acknowledge([device.pk], by="admin") == {device.pk: bulk.Outcome.ACKNOWLEDGED}
    assert problems_now(database_now(), limit=5).total == 0


def test_a_credential_is_set_by_those_that_may_use_credentials(client: Client, device: Device) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.set(
        Permission.objects.filter(codename__in=["view_device", "change_device", "view_credentialprofile"])
    )
    client.force_login(clerk)
    profile = device.credential_profile_id
    assert ask(client, "set_credential", [device.pk], credential_profile=str(profile)).status_code == 403
    page = client.get(f"{LIST}{device.pk}/change/").content.decode()
    assert 'name="credential_profile"' not in page


@pytest.mark.parametrize(
    "ids", ["", "1,x", "-1", "9" * 30, "1,", ",".join(map(str, range(1, CHUNK_DEVICES + 2)))]
)
def test_ids_that_are_none_are_refused(admin_client: Client, ids: str) -> None:
    path = reverse("admin:devices_device_bulk", args=["provision"])
    assert admin_client.post(path, {"ids": ids}).status_code == 400


def test_what_is_no_action_and_what_is_no_post(admin_client: Client, device: Device) -> None:
    assert ask(admin_client, "explode", [device.pk]).status_code == 404
    assert admin_client.get(reverse("admin:devices_device_bulk", args=["provision"])).status_code == 405
    assert admin_client.get(f"{LIST}views/").status_code == 405


def test_a_viewer_is_offered_no_action(viewer: Client, device: Device) -> None:
    page = viewer.get(LIST)
    assert 'name="action"' not in page.content.decode()
    for action in ACTIONS:
        assert ask(viewer, action, [device.pk]).status_code == 403
    viewer.post(LIST, {"action": "deactivate", "_selected_action": [device.pk]})
    device.refresh_from_db()
    assert device.status == DeviceStatus.ACTIVE
    assert device.status_since <= database_now() + timedelta(seconds=1)
