"""The admin of discovery profiles: further credentials beside the profile's own."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from devices.models import CredentialProfile
from discovery.models import DiscoveryProfile

pytestmark = pytest.mark.django_db


def credential(name: str, protocol: str = "winrm") -> CredentialProfile:
    return CredentialProfile.objects.create(name=name, protocol=protocol, encrypted_payload="x")


def form(own: CredentialProfile | None, fallbacks: list[CredentialProfile]) -> dict[str, Any]:
    prefix = "fallback_credentials"
    fields: dict[str, Any] = {
        "name": "office",
        "target": "10.0.0.1",
        "credential_profile": own.pk if own else "",
        "port": 5985,
        "polling_interval_seconds": 60,
        f"{prefix}-TOTAL_FORMS": len(fallbacks),
        f"{prefix}-INITIAL_FORMS": 0,
        f"{prefix}-MIN_NUM_FORMS": 0,
        f"{prefix}-MAX_NUM_FORMS": 1000,
    }
    for position, fallback in enumerate(fallbacks):
        fields |= {
            f"{prefix}-{position}-credential_profile": fallback.pk,
            f"{prefix}-{position}-position": position,
        }
    return fields


def add(client: Client, fields: dict[str, Any]) -> str:
    return client.post(reverse("admin:discovery_discoveryprofile_add"), fields, follow=True).content.decode()


def test_further_credentials_are_kept_in_their_order(admin_client: Client) -> None:
    own, first, second = (credential(name) for name in "abc")
    add(admin_client, form(own, [second, first]))
    assert DiscoveryProfile.objects.get().credential_profiles() == [own, second, first]


@pytest.mark.parametrize(
    ("protocol", "is_twice", "words"), [("ssh", False, "All must be for"), ("winrm", True, "tried once")]
)
def test_those_that_cannot_be_tried_are_refused(
    admin_client: Client, protocol: str, is_twice: bool, words: str
) -> None:
    own = credential("a")
    page = add(admin_client, form(own, [own if is_twice else credential("b", protocol)]))
    assert words in page
    assert not DiscoveryProfile.objects.exists()


def test_a_profile_without_a_credential_is_refused(admin_client: Client) -> None:
    page = add(admin_client, form(None, [credential("b")]))
    assert "This field is required" in page
    assert not DiscoveryProfile.objects.exists()


def test_the_port_is_the_protocols_usual_one(admin_client: Client) -> None:
    add(admin_client, {**form(credential("a", "ssh"), []), "port": ""})
    assert DiscoveryProfile.objects.get().port == 22


def test_a_plugin_that_is_gone_has_no_usual_port(admin_client: Client) -> None:
    assert "no plugin &#x27;gone&#x27;" in add(
        admin_client, {**form(credential("a", "gone"), []), "port": ""}
    )
    assert not DiscoveryProfile.objects.exists()
