"""The admin: every page answers, secrets never show, changes go through the services."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from devices.crypto import payload_decrypt
from devices.models import CredentialProfile, Device, DeviceStatus, PollState

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", [model._meta.label_lower for model in admin.site._registry])
def test_every_list_answers(admin_client: Client, device: Device, model: str) -> None:
    app, name = model.split(".")
    assert admin_client.get(reverse(f"admin:{app}_{name}_changelist")).status_code == 200


def test_pages_never_show_a_secret(admin_client: Client, winrm_credential: CredentialProfile) -> None:
    for path in (
        reverse("admin:devices_credentialprofile_changelist"),
        reverse("admin:devices_credentialprofile_change", args=[winrm_credential.pk]),
        reverse("admin:devices_credentialprofile_history", args=[winrm_credential.pk]),
    ):
        page = admin_client.get(path).content.decode()
        assert "s3cret" not in page
        assert winrm_credential.encrypted_payload not in page


def credential_form(**fields: str) -> dict[str, str]:
    return {"name": "w", "description": "", "protocol": "winrm", "payload": "", **fields}


def test_a_credential_is_added_encrypted(admin_client: Client) -> None:
    payload = '{"username": "u", "password": "p4ss"}'
    admin_client.post(reverse("admin:devices_credentialprofile_add"), credential_form(payload=payload))
    profile = CredentialProfile.objects.get(name="w")
    assert payload_decrypt(profile.encrypted_payload)["password"] == "p4ss"


def test_an_empty_payload_keeps_the_secret(admin_client: Client, winrm_credential: CredentialProfile) -> None:
    path = reverse("admin:devices_credentialprofile_change", args=[winrm_credential.pk])
    assert admin_client.post(path, credential_form(name="renamed")).status_code == 302
    winrm_credential.refresh_from_db()
    assert winrm_credential.name == "renamed"
    assert payload_decrypt(winrm_credential.encrypted_payload)["password"] == "s3cret-of-winrm"


def test_a_bad_payload_is_refused_and_not_echoed(admin_client: Client) -> None:
    path = reverse("admin:devices_credentialprofile_add")
    page = admin_client.post(path, credential_form(payload='{"username": "hunter2"}'))
    assert page.status_code == 200
    assert b"missing password" in page.content
    assert b"hunter2" not in page.content


def device_form(credential: CredentialProfile, **fields: Any) -> dict[str, Any]:
    inline = {f"status_changes-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}
    return {
        "hostname": "h",
        "ip_address": "10.0.0.1",
        "plugin_id": "winrm",
        "port": "5985",
        "credential_profile": credential.pk,
        "polling_interval_seconds": "60",
        "should_ping": "on",
        **inline,
        **fields,
    }


def test_a_device_is_added_with_its_run_state(
    admin_client: Client, winrm_credential: CredentialProfile
) -> None:
    answer = admin_client.post(reverse("admin:devices_device_add"), device_form(winrm_credential))
    assert answer.status_code == 302
    assert PollState.objects.filter(device__ip_address="10.0.0.1").exists()


@pytest.mark.parametrize("fields", [{"plugin_id": "icmp"}, {"port": "0"}, {"polling_interval_seconds": "5"}])
def test_a_device_that_cannot_work_is_refused(
    admin_client: Client, winrm_credential: CredentialProfile, fields: dict[str, str]
) -> None:
    path = reverse("admin:devices_device_add")
    assert admin_client.post(path, device_form(winrm_credential, **fields)).status_code == 200
    assert not Device.objects.exists()


def test_a_device_page_shows_its_history(admin_client: Client, device: Device) -> None:
    page = admin_client.get(reverse("admin:devices_device_change", args=[device.pk]))
    assert page.status_code == 200
    assert b"added" in page.content


def test_actions_deactivate_and_provision(admin_client: Client, device: Device) -> None:
    path = reverse("admin:devices_device_changelist")
    admin_client.post(path, {"action": "deactivate", "_selected_action": [device.pk]})
    device.refresh_from_db()
    assert (device.status, device.status_reason) == (DeviceStatus.INACTIVE, "deactivated by admin")
    admin_client.post(path, {"action": "provision", "_selected_action": [device.pk]})
    device.refresh_from_db()
    assert device.status == DeviceStatus.ACTIVE


CHANGELIST = "/admin/devices/device/"


def upload(table: str, **fields: str) -> dict[str, Any]:
    return {"file": SimpleUploadedFile("devices.csv", table.encode()), **fields}


def test_a_table_is_tried_then_imported(admin_client: Client, winrm_credential: CredentialProfile) -> None:
    table = "ip_address,credential_profile\n10.0.0.1,Windows\n10.0.0.2,Unknown\n"
    page = admin_client.post(f"{CHANGELIST}import/", upload(table, dry_run="on")).content.decode()
    assert "What would be done" in page
    assert "There is no credential profile &#x27;Unknown&#x27;." in page
    assert not Device.objects.exists()
    page = admin_client.post(f"{CHANGELIST}import/", upload(table)).content.decode()
    assert "What was done: 1 created; 1 failed" in " ".join(page.split())
    assert Device.objects.count() == 1


@pytest.mark.parametrize(
    ("table", "words"), [("a,b\n", "Unknown columns"), ("\udcff", "Is no UTF-8"), ("", "empty")]
)
def test_what_is_no_table_is_said_beside_the_file(admin_client: Client, table: str, words: str) -> None:
    file = SimpleUploadedFile("t.csv", table.encode(errors="surrogateescape"))
    page = admin_client.post(f"{CHANGELIST}import/", {"file": file})
    assert page.status_code == 200
    assert words in page.content.decode()


def test_the_list_exports_what_it_shows(admin_client: Client, device: Device, ping_device: Device) -> None:
    page = admin_client.get(CHANGELIST, {"plugin_id": "icmp"}).content.decode()
    assert f'href="{CHANGELIST}export/?plugin_id=icmp"' in page
    assert f'href="{CHANGELIST}import/"' in page
    table = admin_client.get(f"{CHANGELIST}export/", {"plugin_id": "icmp"}).getvalue().decode()
    assert [line.split(",")[0] for line in table.splitlines()] == ["hostname", "127.21.0.1"]


def test_a_filter_that_there_is_not_exports_nothing(admin_client: Client) -> None:
    for query in ({"id__exact": "abc"}, {"bogus": "1"}):
        answer = admin_client.get(f"{CHANGELIST}export/", query)
        assert (answer.status_code, answer["Location"]) == (302, "../?e=1")


def test_a_viewer_exports_and_does_not_import(client: Client, device: Device) -> None:
    viewer = get_user_model().objects.create_user("v", password="a long enough password", is_staff=True)
    viewer.groups.add(Group.objects.get(name="viewer"))
    client.force_login(viewer)
    assert "Import CSV" not in client.get(CHANGELIST).content.decode()
    assert client.get(f"{CHANGELIST}import/").status_code == 403
    assert client.get(f"{CHANGELIST}export/").status_code == 200


@pytest.mark.parametrize(("sent", "stored"), [("300", 300), ("5", 60), ("", 60), ("x", 60)])
def test_the_interval_of_many_is_set(admin_client: Client, device: Device, sent: str, stored: int) -> None:
    fields = {"action": "set_interval", "_selected_action": device.pk, "polling_interval_seconds": sent}
    page = admin_client.post(CHANGELIST, fields, follow=True).content.decode()
    assert ("Interval in seconds: " in page) == (stored == 60)
    device.refresh_from_db()
    assert device.polling_interval_seconds == stored
