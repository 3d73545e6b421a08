"""The page of a credential: trying it on a target."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from devices.models import CredentialProfile

pytestmark = pytest.mark.django_db


def tried(client: Client, profile: CredentialProfile, **fields: Any) -> Any:
    path = reverse("admin:devices_credentialprofile_test", args=[profile.pk])
    return client.post(path, fields, follow=True)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "target: "),
        ({"target": "a b"}, "target: "),
        ({"target": "127.0.0.1", "port": "70000"}, "port: "),
        ({"target": "127.0.0.1", "port": "x"}, "port: "),
    ],
)
def test_what_cannot_be_tried_is_said(
    admin_client: Client, winrm_credential: CredentialProfile, fields: dict[str, str], words: str
) -> None:
    assert words in tried(admin_client, winrm_credential, **fields).content.decode()


def test_ping_has_nothing_to_try(admin_client: Client, icmp_credential: CredentialProfile) -> None:
    path = reverse("admin:devices_credentialprofile_change", args=[icmp_credential.pk])
    assert "Try what is stored" not in admin_client.get(path).content.decode()
    assert (
        "There is nothing to try" in tried(admin_client, icmp_credential, target="127.0.0.1").content.decode()
    )


def test_who_may_not_use_it_may_not_try_it(viewer: Client, winrm_credential: CredentialProfile) -> None:
    path = reverse("admin:devices_credentialprofile_change", args=[winrm_credential.pk])
    page = viewer.get(path)
    assert page.status_code == 200
    assert "Try what is stored" not in page.content.decode()
    assert "payload_" not in page.content.decode()
    assert tried(viewer, winrm_credential, target="127.0.0.1").status_code == 403


def test_what_is_not_there_and_what_is_no_post(
    admin_client: Client, winrm_credential: CredentialProfile
) -> None:
    path = reverse("admin:devices_credentialprofile_test", args=[winrm_credential.pk])
    assert admin_client.get(path).status_code == 405
    assert admin_client.post(path.replace(str(winrm_credential.pk), "999999")).status_code == 404
