"""The texts of empty lists, and the order of rows."""

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from devices.models import CredentialProfile, Device
from discovery.models import DiscoveryProfile, DiscoveryResult, DiscoveryRun

pytestmark = pytest.mark.django_db


def lists() -> list[tuple[str, type[Model]]]:
    reverse("admin:index")  # registers the pages of the console
    return [(f"{model._meta.app_label}_{model._meta.model_name}", model) for model in admin.site._registry]


def test_an_empty_list_says_what_it_is_for(admin_client: Client) -> None:
    for name, model in lists():
        if model._default_manager.exists():
            continue
        page = admin_client.get(reverse(f"admin:{name}_changelist")).content.decode()
        assert "yielded" not in page
        assert f">No {model._meta.verbose_name_plural}<" in page, name
        text = admin.site._registry[model].empty_text  # type: ignore[attr-defined]
        assert text, name
        assert text in page


def test_an_empty_list_leads_to_the_next_step(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:devices_device_changelist")).content.decode()
    assert reverse("admin:discovery_discoveryprofile_changelist") in page
    assert "Go to discovery profiles" in page


def test_a_search_that_finds_nothing_leads_back_to_all(admin_client: Client, device: Device) -> None:
    for query in ({"q": "nothing-like-this"}, {"state": "down"}):
        page = admin_client.get(reverse("admin:devices_device_changelist"), query).content.decode()
        assert "No matching devices" in page
        assert "Show all devices" in page
        assert ">No devices<" not in page


def test_names_stand_in_natural_order(admin_client: Client) -> None:
    for name in ("site 10", "Site 2", "site 1"):
        CredentialProfile.objects.create(name=name, protocol="icmp", encrypted_payload="x")
    shown = admin_client.get(reverse("admin:devices_credentialprofile_changelist")).context["cl"].result_list
    assert [profile.name for profile in shown] == ["site 1", "Site 2", "site 10"]


def test_results_stand_by_address(admin_client: Client, ping_device: Device) -> None:
    profile = DiscoveryProfile.objects.create(
        name="p", target="10.0.0.0/24", port=0, credential_profile=ping_device.credential_profile
    )
    run = DiscoveryRun.objects.create(profile=profile, total=3)
    for target in ("10.0.0.10", "10.0.0.9", "9.255.255.255"):
        DiscoveryResult.objects.create(run=run, target=target, outcome="failed")
    shown = admin_client.get(reverse("admin:discovery_discoveryresult_changelist")).context["cl"].result_list
    assert [result.target for result in shown] == ["9.255.255.255", "10.0.0.9", "10.0.0.10"]
