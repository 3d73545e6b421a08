"""The admin: every page answers, secrets never show, changes go through the services."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from devices.admin import DeviceForm
from devices.credential_form import is_secret
from devices.crypto import payload_decrypt
from devices.models import CredentialProfile, Device, PollState
from devices.services import device_create

pytestmark = pytest.mark.django_db


def test_every_list_answers(admin_client: Client, device: Device) -> None:
    admin_client.get("/")  # the pages are registered with the routes
    models = list(admin.site._registry)
    assert CredentialProfile in models
    for model in models:
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        assert admin_client.get(path).status_code == 200, path


def test_pages_never_show_a_secret(admin_client: Client, winrm_credential: CredentialProfile) -> None:
    for path in (
        reverse("admin:devices_credentialprofile_changelist"),
        reverse("admin:devices_credentialprofile_change", args=[winrm_credential.pk]),
        reverse("admin:devices_credentialprofile_history", args=[winrm_credential.pk]),
    ):
        page = admin_client.get(path).content.decode()
        assert "s3cret" not in page
        assert winrm_credential.encrypted_payload not in page


def add_path(protocol: str = "winrm") -> str:
    return f"{reverse('admin:devices_credentialprofile_add')}?protocol={protocol}"


def change_path(profile: CredentialProfile) -> str:
    return reverse("admin:devices_credentialprofile_change", args=[profile.pk])


def payload_of(name: str) -> dict[str, Any]:
    return payload_decrypt(CredentialProfile.objects.get(name=name).encrypted_payload)


def test_a_new_credential_begins_with_its_protocol(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:devices_credentialprofile_add")).content.decode()
    for protocol in ("icmp", "snmp", "ssh", "winrm"):
        assert f'href="?protocol={protocol}"' in page


def test_the_form_is_made_from_the_schema(admin_client: Client) -> None:
    page = admin_client.get(add_path("snmp")).content.decode()
    assert 'name="payload_community"' in page
    assert "Privacy password (v3)" in page
    assert "AES-256" in page


def test_a_credential_is_added_encrypted(admin_client: Client) -> None:
    fields = {"name": "w", "payload_username": "u", "payload_password": " p4ss ", "payload_verify": "on"}
    assert admin_client.post(add_path(), fields).status_code == 302
    assert CredentialProfile.objects.get(name="w").protocol == "winrm"
    assert payload_of("w") == {"username": "u", "password": " p4ss ", "verify": True}


def test_lines_end_as_plugins_expect(admin_client: Client) -> None:
    key = "-----BEGIN KEY-----\r\nabc\r\n-----END KEY-----\r\n"
    fields = {"name": "s", "payload_username": "u", "payload_private_key": key}
    admin_client.post(add_path("ssh"), fields)
    assert payload_of("s")["private_key"] == key.replace("\r\n", "\n")


def test_a_name_is_one_line(admin_client: Client) -> None:
    assert "Must be one line." in admin_client.post(add_path("icmp"), {"name": "a\nb"}).content.decode()
    assert not CredentialProfile.objects.exists()


def test_ping_needs_no_secret(admin_client: Client) -> None:
    admin_client.post(add_path("icmp"), {"name": "p"})
    assert payload_of("p") == {}


def test_an_empty_secret_stays_and_the_rest_is_as_sent(
    admin_client: Client, winrm_credential: CredentialProfile
) -> None:
    page = admin_client.get(change_path(winrm_credential)).content.decode()
    assert 'value="monitor"' in page  # no secret by the schema
    fields = {"name": "renamed", "payload_username": "other", "payload_domain": "EXAMPLE"}
    assert admin_client.post(change_path(winrm_credential), fields).status_code == 302
    assert payload_of("renamed") == {
        "username": "other",
        "domain": "EXAMPLE",
        "password": "s3cret-of-winrm",
        "verify": False,
    }


def test_a_stored_secret_is_removed_on_request(admin_client: Client) -> None:
    fields = {"name": "s", "payload_username": "u", "payload_password": "p4ss", "payload_private_key": "k"}
    admin_client.post(add_path("ssh"), fields)
    profile = CredentialProfile.objects.get(name="s")
    without = {"name": "s", "payload_username": "u", "forget_password": "on"}
    assert admin_client.post(change_path(profile), without).status_code == 302
    assert payload_of("s") == {"username": "u", "private_key": "k"}
    without |= {"forget_private_key": "on"}
    assert admin_client.post(change_path(profile), without).status_code == 200  # neither is left
    assert payload_of("s") == {"username": "u", "private_key": "k"}


def test_a_bad_payload_is_refused_and_its_secret_not_echoed(admin_client: Client) -> None:
    fields = {"name": "w", "payload_password": "hunter2"}
    page = admin_client.post(add_path(), fields)
    assert page.status_code == 200
    assert b"missing username" in page.content
    assert b"hunter2" not in page.content
    assert not CredentialProfile.objects.exists()


def test_what_cannot_be_decrypted_is_entered_again(
    admin_client: Client, winrm_credential: CredentialProfile
) -> None:
    CredentialProfile.objects.update(encrypted_payload="gAAAAABunreadable")
    page = admin_client.get(change_path(winrm_credential)).content.decode()
    assert "NMS_ENCRYPTION_KEYS" in page
    fields = {"name": "again", "payload_username": "u", "payload_password": "p"}
    admin_client.post(change_path(winrm_credential), fields)
    assert payload_of("again")["password"] == "p"


@pytest.mark.parametrize("name", ["api_token", "ssh_key", "key", "passphrase"])
def test_a_schema_that_forgot_write_only_shows_no_secret(name: str) -> None:
    assert is_secret(name, {"type": "string"})
    assert not is_secret("keyboard", {"type": "string"})
    assert not is_secret("auth_protocol", {"enum": ["MD5"]})


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


@pytest.mark.parametrize("address", ["10.0.0.1", "::ffff:10.0.0.1"])
def test_a_device_is_added_with_its_run_state(
    admin_client: Client, winrm_credential: CredentialProfile, address: str
) -> None:
    fields = device_form(winrm_credential, ip_address=address)
    answer = admin_client.post(reverse("admin:devices_device_add"), fields)
    assert answer.status_code == 302
    assert PollState.objects.filter(device__ip_address="10.0.0.1").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"plugin_id": "icmp"},
        {"port": "0"},
        {"polling_interval_seconds": "5"},
        {"ip_address": "fe80::2%eth9"},
        {"ip_address": "%"},
        {"ip_address": "10.0.0.300"},
        {"ip_address": "224.0.0.1"},
    ],
)
def test_a_device_that_cannot_work_is_refused(
    admin_client: Client, winrm_credential: CredentialProfile, fields: dict[str, str]
) -> None:
    path = reverse("admin:devices_device_add")
    assert admin_client.post(path, device_form(winrm_credential, **fields)).status_code == 200
    assert not Device.objects.exists()


def test_a_device_that_is_added_twice_at_once_is_told(
    admin_client: Client, winrm_credential: CredentialProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean = DeviceForm.clean_ip_address

    def checked(form: DeviceForm) -> Any:
        device_create(
            hostname="first",
            ip_address="10.0.0.1",
            plugin_id="winrm",
            port=5985,
            credential_profile=winrm_credential,
        )
        return clean(form)

    monkeypatch.setattr(DeviceForm, "clean_ip_address", checked)
    monkeypatch.setattr(Device, "validate_constraints", lambda *_, **__: None)  # as if it came later
    path = reverse("admin:devices_device_add")
    page = admin_client.post(path, device_form(winrm_credential), follow=True)
    assert "has the same values now" in page.content.decode()


def test_a_device_page_shows_its_history(admin_client: Client, device: Device) -> None:
    page = admin_client.get(reverse("admin:devices_device_change", args=[device.pk]))
    assert page.status_code == 200
    assert b"added" in page.content


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
        assert admin_client.get(f"{CHANGELIST}export/", query).status_code == 400
    answer = admin_client.get(f"{CHANGELIST}export/", {"status__exact": "\0"})
    assert (answer.status_code, answer["Location"]) == (302, "../?e=1")


def test_a_viewer_exports_and_does_not_import(client: Client, device: Device) -> None:
    viewer = get_user_model().objects.create_user("v", password="a long enough password", is_staff=True)
    viewer.groups.add(Group.objects.get(name="viewer"))
    client.force_login(viewer)
    assert "Import CSV" not in client.get(CHANGELIST).content.decode()
    assert client.get(f"{CHANGELIST}import/").status_code == 403
    assert client.get(f"{CHANGELIST}export/").status_code == 200


def test_a_device_changes_to_a_credential_of_its_protocol(
    admin_client: Client, device: Device, ping_device: Device
) -> None:
    other = CredentialProfile.objects.create(
        name="other", protocol="winrm", encrypted_payload=device.credential_profile.encrypted_payload
    )
    path = f"/admin/devices/device/{device.pk}/change/"
    page = admin_client.get(path).content.decode()
    assert f'<option value="{other.pk}"' in page
    assert f'<option value="{ping_device.credential_profile_id}"' not in page
    sent = {
        "hostname": device.hostname,
        "ip_address": device.ip_address,
        "port": device.port,
        "polling_interval_seconds": device.polling_interval_seconds,
        "should_ping": "on",
    }
    admin_client.post(path, {**sent, "credential_profile": other.pk})
    device.refresh_from_db()
    assert device.credential_profile_id == other.pk
    answer = admin_client.post(path, {**sent, "credential_profile": ping_device.credential_profile_id})
    assert "Select a valid choice" in answer.content.decode()
