"""The devices that have the most of something, whatever their documents hold."""

from datetime import timedelta
from typing import Any

import pytest

from devices.models import CredentialProfile, Device
from devices.services import database_now
from metrics.tests.helpers import store
from polling.busiest import busiest
from polling.tests.conftest import winrm_device

pytestmark = pytest.mark.usefixtures("committed")
NOTHING: dict[str, list[Any]] = {"cpu": [], "memory": [], "disk": [], "rtt": []}


def drive(total: Any, free: Any) -> dict[str, Any]:
    return {"disk": {"drives": {"C:": {"total": total, "free": free}}}}


@pytest.mark.parametrize(
    "document",
    [
        '{"memory": {"used": 1e307, "total": 5}}',
        '{"memory": {"used": 1e400, "total": 1e400}}',
        '{"memory": {"used": 1e300, "total": 1e-300}}',
        '{"memory": {"used": 5, "total": 0}}',
        '{"memory": {"used": "5", "total": [1]}}',
        '{"disk": {"drives": {"C:": {"total": 1e400, "free": 1e400}}}}',
        '{"disk": {"drives": {"C:": {"total": 1e-300, "free": 1e300}}}}',
        '{"disk": {"drives": {"C:": {"total": 0.5, "free": 1e-400}}}}',
        '{"disk": {"drives": {"C:": {"total": "x", "free": null}}}}',
        '{"disk": {"drives": [1, "x", {}]}}',
        '{"cpu": {"total": 1e400}}',
        '{"cpu": {"total": {}}}',
    ],
)
def test_numbers_that_are_none_break_nothing(winrm_credential: CredentialProfile, document: str) -> None:
    device, other = (winrm_device(winrm_credential, last) for last in (1, 2))
    now = database_now()
    good = {**drive(200, 50), "memory": {"used": 1, "total": 4}, "cpu": {"total": 12.5}}
    store({(device.pk, now): document, (other.pk, now): good})
    found = busiest(now, limit=5)
    assert {name: [row.value for row in rows] for name, rows in found.items()} == {
        **NOTHING,
        "cpu": [12.5],
        "memory": [25],
        "disk": [75],
    }
    assert busiest(now + timedelta(hours=1), limit=5) == NOTHING


def test_what_is_next_to_nothing_is_nothing(device: Device) -> None:
    now = database_now()
    store({(device.pk, now): '{"disk": {"drives": {"C:": {"total": 5, "free": 1e-400}}}}'})
    assert [row.value for row in busiest(now, limit=5)["disk"]] == [100]
