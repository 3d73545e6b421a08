"""What the dashboard says of the fleet, and to whom."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts.roles import Role
from console.dashboard import dashboard
from devices import bulk, services
from devices.models import Device, DeviceStatus, StatusChange
from devices.services import database_now
from polling.availability import availability
from polling.models import Verdict, VerdictKind

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    cache.clear()


def page(client: Client) -> str:
    answer = client.get("/admin/live/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_an_empty_installation_is_shown(admin_client: Client) -> None:
    shown = page(admin_client)
    assert "First steps" in shown
    assert "are listed here" in shown
    assert "No discovery is in progress." in shown
    assert admin_client.get("/admin/").status_code == 200


def test_a_device_that_failed_is_the_first_thing_to_see(admin_client: Client, device: Device) -> None:
    services.device_provision(device_id=device.pk, interval_seconds=None)
    services.device_take_off(
        device_id=device.pk,
        status=DeviceStatus.INACTIVE,
        reason="3 failures within the window, the last: does not answer ping",
    )
    shown = page(admin_client)
    assert "does not answer ping" in shown
    assert ">down<" in shown
    services.device_provision(device_id=device.pk, interval_seconds=None)
    cache.clear()
    assert "does not answer ping" not in page(admin_client)


def test_a_device_that_was_deactivated_by_hand_is_no_problem(admin_client: Client, device: Device) -> None:
    services.device_provision(device_id=device.pk, interval_seconds=None)
    bulk.devices_deactivate([device.pk], reason="deactivated by somebody")
    assert "deactivated by somebody" not in page(admin_client)


def test_a_device_that_does_not_answer_now_is_a_problem(admin_client: Client, device: Device) -> None:
    services.device_provision(device_id=device.pk, interval_seconds=None)
    now = database_now()
    for minutes, kind in ((3, VerdictKind.OK), (2, VerdictKind.TIMEOUT), (1, VerdictKind.TIMEOUT)):
        Verdict.objects.create(
            device_id=device.pk,
            due_at=now - timedelta(minutes=minutes),
            kind=kind,
            attempted=True,
            error="" if kind == "ok" else f"no answer {minutes}",
        )
    device.poll_state.last_verdict = VerdictKind.TIMEOUT
    device.poll_state.last_due_at = now - timedelta(minutes=1)
    device.poll_state.newest_sample_at = now - timedelta(minutes=3)
    device.poll_state.next_poll_at = now
    device.poll_state.save()
    shown = page(admin_client)
    assert "no answer 1" in shown
    assert ">3 min" in shown


def test_a_login_that_was_not_tried_makes_nothing_unavailable(device: Device) -> None:
    now = database_now()
    for minutes in range(1, 5):
        Verdict.objects.create(
            device_id=device.pk,
            due_at=now - timedelta(minutes=minutes),
            kind=VerdictKind.OK if minutes == 1 else VerdictKind.AUTH_FAILED,
            attempted=minutes < 3,  # one failed, and the account is left alone from then on
        )
    found = availability(device_id=device.pk, start=now - timedelta(hours=1), end=now, now=now)
    assert found.time.percent == pytest.approx(50, abs=0.5)
    assert dashboard().fleet.availability == pytest.approx(found.time.percent, abs=0.5)


def test_a_device_that_comes_and_goes_is_flapping(admin_client: Client, device: Device) -> None:
    now = database_now()
    for number in range(4):
        old, new = ("active", "inactive") if number % 2 else ("inactive", "active")
        StatusChange.objects.create(
            device=device, old_status=old, new_status=new, reason="x", at=now - timedelta(minutes=9 - number)
        )
    shown = page(admin_client).split("panel-flapping")[1].split("</section>")[0]
    assert device.hostname in shown
    assert ">4<" in shown


def test_a_name_is_text(admin_client: Client, device: Device) -> None:
    Device.objects.filter(pk=device.pk).update(hostname="<img src=x onerror=alert(1)>")
    assert "<img" not in page(admin_client)


@pytest.mark.parametrize(("role", "status"), [(Role.VIEWER, 200), (Role.ADMIN, 200), (None, 403)])
def test_who_may_see_it(
    client: Client, django_user_model: Any, role: Role | None, status: int, device: Device
) -> None:
    from django.contrib.auth.models import Group

    user = django_user_model.objects.create_user("somebody", is_staff=True)
    if role:
        user.groups.add(Group.objects.get(name=role))
    client.force_login(user)
    assert client.get("/admin/live/").status_code == status
    assert client.get("/admin/").status_code == 200  # a list of what there is for those who may see less
    client.logout()
    assert client.get("/admin/live/").status_code == 302


def test_the_number_of_queries_does_not_grow(
    admin_client: Client, device: Device, ping_device: Device, django_assert_num_queries: Any
) -> None:
    page(admin_client)
    cache.clear()
    with django_assert_num_queries(20):
        page(admin_client)
