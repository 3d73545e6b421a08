"""The admin of discovery profiles: further credentials beside the profile's own, and saving beside others."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from devices.models import CredentialProfile
from devices.services import row_update
from discovery.admin import DiscoveryProfileForm
from discovery.models import DiscoveryProfile
from discovery.services import profile_delete

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


@pytest.fixture
def profile(admin_client: Client) -> DiscoveryProfile:
    add(admin_client, form(credential("a"), []))
    return DiscoveryProfile.objects.get()


def save_while(
    admin_client: Client,
    profile: DiscoveryProfile,
    monkeypatch: pytest.MonkeyPatch,
    happens: Callable[[], Any],
) -> str:
    """Sends the profile's form with another name; `happens` between its check and its saving."""
    clean = DiscoveryProfileForm.clean

    def checked(self: DiscoveryProfileForm) -> dict[str, Any]:
        cleaned = clean(self)
        happens()
        return cleaned

    monkeypatch.setattr(DiscoveryProfileForm, "clean", checked)
    fields = form(profile.credential_profile, []) | {"name": "renamed", "ping_first": "on"}
    path = reverse("admin:discovery_discoveryprofile_change", args=[profile.pk])
    answer = admin_client.post(path, fields, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_profile_that_is_deleted_while_it_is_saved_is_not_saved(
    admin_client: Client, profile: DiscoveryProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = save_while(admin_client, profile, monkeypatch, lambda: profile_delete(profile_id=profile.pk))
    assert "it was deleted meanwhile" in page
    assert DiscoveryProfile.objects.get().name == "office"  # undone with what happened in the test


def test_what_another_changed_meanwhile_stays(
    admin_client: Client, profile: DiscoveryProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_while(admin_client, profile, monkeypatch, lambda: row_update(profile, auto_provision=True))
    profile.refresh_from_db()
    assert (profile.name, profile.auto_provision) == ("renamed", True)


def test_a_protocol_that_changed_meanwhile_is_refused(
    admin_client: Client, profile: DiscoveryProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = CredentialProfile.objects.filter(pk=profile.credential_profile_id)
    page = save_while(admin_client, profile, monkeypatch, lambda: changed.update(protocol="ssh"))
    assert "was changed meanwhile" in page
    profile.refresh_from_db()
    assert profile.name == "office"
