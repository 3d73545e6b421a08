"""The device's page in the admin shows what polling knows of it."""

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from devices.models import Device

pytestmark = pytest.mark.django_db


def test_verdicts_and_newest_sample_are_on_the_device_page(admin_client: Client, device: Device) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO polling_verdict (device_id, due_at, kind, rtt_ms, attempted, error) "
            "VALUES (%s, now(), 'timeout', 0.75, true, 'it is <slow>')",
            [device.pk],
        )
        cursor.execute(
            "INSERT INTO metrics_sample VALUES (%s, now(), now(), %s)",
            [device.pk, '{"cpu": {"total": 77.7}}'],
        )
    page = admin_client.get(reverse("admin:devices_device_change", args=[device.pk])).content.decode()
    assert "<td>timeout</td>" in page
    assert "it is &lt;slow&gt;" in page
    assert "77.7" in page


def test_a_device_never_polled_says_so(admin_client: Client, device: Device) -> None:
    page = admin_client.get(reverse("admin:devices_device_change", args=[device.pk])).content.decode()
    assert page.count("none yet") == 2
