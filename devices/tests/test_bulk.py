"""Many devices at once: an outcome for each, and nothing that nobody asked for."""

import threading
from contextlib import suppress
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from devices import services
from devices.models import CredentialProfile, Device, PollState
from devices.services import database_now, devices_add
from nms_project.errors import Conflict, InvalidInput

URL = "/api/v1/devices"
MISSING = 999_999


def bulk(api: APIClient, what: str, *ids: int, **fields: Any) -> list[str]:
    answer = api.post(f"{URL}/{what}", {"device_ids": list(ids), **fields})
    assert answer.status_code == 200, answer.content
    results = answer.json()["results"]
    assert [each["device_id"] for each in results] == list(dict.fromkeys(ids))
    return [each["outcome"] for each in results]


@pytest.mark.django_db
def test_each_has_its_outcome(api: APIClient, device: Device, ping_device: Device) -> None:
    one, two = device.pk, ping_device.pk
    assert bulk(api, "deactivate", two, MISSING, one, two) == ["deactivated", "not_found", "deactivated"]
    assert bulk(api, "deactivate", one) == ["unchanged"]
    device.refresh_from_db()
    assert (device.status, device.status_reason) == ("inactive", "deactivated by operator")
    assert bulk(api, "provision", one, MISSING, polling_interval_seconds=30) == ["provisioned", "not_found"]
    device.refresh_from_db()
    assert (device.status, device.polling_interval_seconds) == ("active", 30)
    assert bulk(api, "set_interval", one, two, MISSING, polling_interval_seconds=30) == [
        "unchanged",
        "changed",
        "not_found",
    ]
    assert PollState.objects.get(device=two).interval_seconds == 30
    assert bulk(api, "delete", one, MISSING) == ["deleted", "not_found"]
    assert list(Device.objects.values_list("pk", flat=True)) == [two]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("provision", {}, "device_ids"),
        ("provision", {"device_ids": []}, "device_ids"),
        ("provision", {"device_ids": [0]}, "device_ids"),
        ("provision", {"device_ids": [1], "polling_interval_seconds": 1}, "polling_interval_seconds"),
        ("set_interval", {"device_ids": [1]}, "polling_interval_seconds"),
        ("delete", {"device_ids": list(range(1, 1_002))}, "device_ids"),
        ("deactivate", {"device_ids": "all"}, "device_ids"),
    ],
)
def test_bad_input_names_the_field(api: APIClient, what: str, body: dict[str, Any], field: str) -> None:
    answer = api.post(f"{URL}/{what}", body)
    assert answer.status_code == 400
    assert any(name.startswith(field) for name in answer.json()["error"]["fields"])


@pytest.mark.usefixtures("committed")
def test_racing_requests_leave_a_state_that_somebody_asked_for(
    user: Any, device: Device, ping_device: Device
) -> None:
    """Update, provision, deactivate and delete on the same devices at once, in all orders that come."""
    ids = [device.pk, ping_device.pk]
    answers: list[int] = []

    def race(what: str, body: dict[str, Any]) -> None:
        client = APIClient()
        client.force_authenticate(user)
        for _ in range(5):
            if what == "patch":
                answer = client.patch(f"{URL}/{ids[0]}", body)
            else:
                answer = client.post(f"{URL}/{what}", {"device_ids": ids, **body})
            answers.append(answer.status_code)
        connection.close()

    work: list[tuple[str, dict[str, Any]]] = [
        ("provision", {"polling_interval_seconds": 30}),
        ("deactivate", {}),
        ("set_interval", {"polling_interval_seconds": 90}),
        ("patch", {"hostname": "renamed", "polling_interval_seconds": 40}),
        ("patch", {"status": "inactive"}),
    ]
    threads = [threading.Thread(target=race, args=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) == {200}
    for found in Device.objects.select_related("poll_state"):
        state = found.poll_state
        assert found.polling_interval_seconds in {30, 40, 90}
        assert state.interval_seconds == found.polling_interval_seconds
        assert (state.next_poll_at is not None) == (found.status == "active")
        newest = found.status_changes.first()
        assert newest is not None
        assert (newest.new_status, newest.polling_interval_seconds) == (
            found.status,
            found.polling_interval_seconds,
        )
    assert Device.objects.get(pk=ids[0]).hostname == "renamed"


@pytest.mark.usefixtures("committed")
def test_a_delete_amid_others_is_a_delete(user: Any, device: Device) -> None:
    answers: list[tuple[str, int]] = []
    barrier = threading.Barrier(4)

    def race(method: str, path: str) -> None:
        client = APIClient()
        client.force_authenticate(user)
        barrier.wait()
        answers.append((method, client.generic(method.upper(), path, "{}", "application/json").status_code))
        connection.close()

    url = f"{URL}/{device.pk}"
    work: list[tuple[str, str]] = [
        ("delete", url),
        ("patch", url),
        ("post", f"{url}/provision"),
        ("delete", url),
    ]
    threads = [threading.Thread(target=race, args=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(status in {200, 202, 204, 404} for _, status in answers), answers
    assert not Device.objects.filter(pk=device.pk).exists()
    assert not PollState.objects.filter(device_id=device.pk).exists()


@pytest.mark.usefixtures("committed")
def test_an_import_amid_deletes_of_the_same_devices_adds_them(winrm_credential: CredentialProfile) -> None:
    """One may be deleted after it was found to be there, and before it is read."""
    ended = threading.Event()

    def delete_always() -> None:
        while not ended.is_set():
            Device.objects.all().delete()
        connection.close()

    deleter = threading.Thread(target=delete_always)
    deleter.start()
    try:
        for _ in range(100):
            now = database_now()
            new = Device(
                ip_address="10.9.0.1",
                port=1,
                plugin_id="winrm",
                credential_profile=winrm_credential,
                hostname="x",
                status_since=now,
                status_reason="imported",
            )
            with suppress(Conflict):
                assert len(devices_add([new], now)) == 1
    finally:
        ended.set()
        deleter.join()


def test_devices_change_to_another_credential_of_their_protocol(
    api: APIClient, device: Device, ping_device: Device
) -> None:
    other = CredentialProfile.objects.create(
        name="other", protocol="winrm", encrypted_payload=device.credential_profile.encrypted_payload
    )
    body = {"device_ids": [device.pk, ping_device.pk, 999_999], "credential_profile_id": other.pk}
    answer = api.post("/api/v1/devices/set_credential", body).json()
    assert [row["outcome"] for row in answer["results"]] == ["changed", "other_protocol", "not_found"]
    again = api.post("/api/v1/devices/set_credential", body).json()
    assert again["results"][0]["outcome"] == "unchanged"
    device.refresh_from_db()
    ping_device.refresh_from_db()
    assert device.credential_profile_id == other.pk
    assert ping_device.credential_profile.protocol == "icmp"
    wrong = api.post("/api/v1/devices/set_credential", {**body, "credential_profile_id": 999_999})
    assert "credential_profile_id" in wrong.json()["error"]["fields"]


def test_the_service_refuses_a_credential_of_another_protocol(device: Device, ping_device: Device) -> None:
    with pytest.raises(InvalidInput, match="the device for winrm"):
        services.device_update(device, credential_profile=ping_device.credential_profile)
