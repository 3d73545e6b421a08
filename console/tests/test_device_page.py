"""The page of a device: what it shows, what its buttons do, and for whom."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from console.charts import charts_wanted
from console.timeline import periods
from devices import bulk, services
from devices.models import Device, DeviceStatus, PollState
from devices.services import database_now

pytestmark = pytest.mark.django_db


def page_of(client: Client, device: Device) -> str:
    return client.get(reverse("admin:devices_device_change", args=[device.pk])).content.decode()


def charts_url(device: Device) -> str:
    return reverse("admin:devices_device_charts", args=[device.pk])


def do(client: Client, device: Device, action: str) -> Any:
    return client.post(reverse("admin:devices_device_do", args=[device.pk, action]), follow=True)


def store(device: Device, document: str, *, minutes_ago: int = 0, kind: str = "ok", error: str = "") -> None:
    with connection.cursor() as cursor:
        values = [device.pk, minutes_ago]
        cursor.execute(
            "INSERT INTO polling_verdict (device_id, due_at, kind, rtt_ms, loss_percent, attempted, error) "
            "VALUES (%s, now() - make_interval(mins => %s), %s, 0.75, 0, true, %s)",
            [*values, kind, error],
        )
        cursor.execute(
            "INSERT INTO metrics_sample "
            "SELECT id, at, at, %s FROM (SELECT %s::bigint AS id, now() - make_interval(mins => %s) AS at)",
            [document, *values],
        )
        cursor.execute(
            "UPDATE devices_pollstate SET newest_sample_at = greatest(newest_sample_at, now() - "
            "make_interval(mins => %s)) WHERE device_id = %s",
            [minutes_ago, device.pk],
        )


def test_verdicts_and_newest_sample_are_shown(admin_client: Client, device: Device) -> None:
    store(device, '{"cpu": {"total": 77.7}}', kind="timeout", error="it is <slow>")
    page = page_of(admin_client, device)
    assert '<span class="nms-state">timeout</span>' in page
    assert "it is &lt;slow&gt;" in page
    assert "77.7" in page


def test_a_device_never_polled_says_so(admin_client: Client, device: Device) -> None:
    assert page_of(admin_client, device).count("None yet.") == 2


def test_the_charts_have_gaps_where_nothing_came(admin_client: Client, device: Device) -> None:
    for minutes in (1, 2, 6):
        store(device, '{"cpu": {"total": 50}, "memory": {"total": 200, "used": 50}}', minutes_ago=minutes)
    now = int(database_now().timestamp())
    answer = admin_client.get(charts_url(device), {"start": now - 600, "end": now})
    assert answer.status_code == 200
    body = answer.json()
    charts = {chart["name"]: chart for chart in body["charts"]}
    assert list(charts) == ["rtt", "loss", "cpu", "memory"]
    means = charts["memory"]["lines"][0]["mean"]
    assert [value for value in means if value is not None] == [25, 25, 25]
    assert len(means) == body["grids"]["samples"]["count"]
    assert means.count(None) >= 7
    assert charts["cpu"]["lines"][0]["high"] == []  # one value a step has no band


@pytest.mark.parametrize("query", [{}, {"start": "x", "end": "1"}, {"start": "9" * 400, "end": "1"}])
def test_a_range_that_is_none_is_refused(
    admin_client: Client, device: Device, query: Mapping[str, str]
) -> None:
    answer = admin_client.get(charts_url(device), query)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_which_charts_there_are() -> None:
    known = {
        "cpu.total": 1.0,
        "cpu.0": 1.0,
        "disk.drives.C:.free": 1.0,
        "disk.drives.C:.total": 2.0,
        "network.interfaces.quiet.rx": 1.0,
        "network.interfaces.quiet.tx": 1.0,
        "network.interfaces.eth0\\.100.rx": 5.0,
        "network.interfaces.eth0\\.100.tx": 5.0,
        "ups.load": 3.0,
        "system.uptime_seconds": 9.0,
    }
    titles = [wanted.title for wanted in charts_wanted(known)]
    assert titles == ["Processor", "Disk C:", "Interface eth0.100", "Interface quiet", "ups.load"]


def test_the_timeline_tells_down_from_not_polled(device: Device) -> None:
    now = database_now()
    services.device_provision(device_id=device.pk, interval_seconds=None)
    bulk.devices_deactivate([device.pk], reason="by hand")
    for minutes, kind in ((9, "ok"), (8, "timeout"), (7, "timeout"), (6, "ok")):
        store(device, "{}", minutes_ago=minutes, kind=kind, error="" if kind == "ok" else "gone")
    found = periods(device, start=now - timedelta(minutes=10), end=now + timedelta(minutes=1), now=now)
    assert [period.words for period in found] == ["not known yet", "inactive: by hand", "down: gone"]
    assert [period.kind for period in found] == ["off", "off", "down"]
    assert found[2].end - found[2].start == pytest.approx(120, abs=1)


def test_buttons_poll_deactivate_and_provision(admin_client: Client, device: Device) -> None:
    services.device_provision(device_id=device.pk, interval_seconds=None)
    PollState.objects.filter(device_id=device.pk).update(next_poll_at=database_now() + timedelta(hours=1))
    assert "is polled now" in do(admin_client, device, "poll").content.decode()
    assert PollState.objects.filter(device_id=device.pk, next_poll_at__lte=database_now()).exists()
    assert "is not polled any more" in do(admin_client, device, "deactivate").content.decode()
    assert Device.objects.get(pk=device.pk).status == DeviceStatus.INACTIVE
    assert "Provision it first" in do(admin_client, device, "poll").content.decode()
    assert "is polled from now on" in do(admin_client, device, "provision").content.decode()
    assert Device.objects.get(pk=device.pk).status == DeviceStatus.ACTIVE


def test_what_is_not_there_and_what_is_no_post(admin_client: Client, device: Device) -> None:
    assert do(admin_client, device, "explode").status_code == 404
    assert admin_client.get(reverse("admin:devices_device_do", args=[device.pk, "poll"])).status_code == 405
    assert admin_client.get("/admin/devices/device/12345/live/").status_code == 404
    assert admin_client.get("/admin/devices/device/12345/change/").status_code == 302


def test_who_may_see_devices_alone_sees_no_polls(narrow: Client, device: Device) -> None:
    store(device, '{"cpu": {"total": 77.7}}', kind="timeout", error="it is slow")
    page = page_of(narrow, device)
    assert device.hostname in page
    assert not any(words in page for words in ("it is slow", "77.7", "panel-state", "charts-range"))
    live = reverse("admin:devices_device_live", args=[device.pk])
    assert narrow.get(live).status_code == 403
    assert narrow.get(charts_url(device), {"start": 1, "end": 2}).status_code == 403
    rows = narrow.get("/admin/devices/device/").content.decode()
    assert device.hostname in rows
    assert "24 hours" not in rows


def test_a_viewer_sees_all_and_does_nothing(viewer: Client, device: Device, django_user_model: Any) -> None:
    page = page_of(viewer, device)
    assert 'id="charts"' in page
    assert 'form="do-' not in page
    for action in ("poll", "provision", "deactivate", "acknowledge", "test"):
        assert do(viewer, device, action).status_code == 403
    viewer.force_login(django_user_model.objects.create_user("nobody", is_staff=True))
    assert viewer.get(charts_url(device), {"start": 0, "end": 1}).status_code == 403


def test_the_number_of_queries_does_not_grow(
    admin_client: Client, device: Device, django_assert_num_queries: Any
) -> None:
    now = int(database_now().timestamp())
    for minutes in range(1, 20):
        store(device, '{"cpu": {"total": 1}}', minutes_ago=minutes)
    admin_client.get(charts_url(device), {"start": now - 600, "end": now})
    with django_assert_num_queries(20):
        admin_client.get(charts_url(device), {"start": now - 600, "end": now})
    with django_assert_num_queries(8):
        admin_client.get(reverse("admin:devices_device_live", args=[device.pk]))
