"""The admin: every page answers, secrets never show, changes go through the services."""

from typing import Any

import pytest
from django.contrib import admin
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
