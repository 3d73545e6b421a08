"""/api/v1/discovery_profiles and discovery_runs."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from devices.models import CredentialProfile, Device
from discovery import services
from discovery.models import DiscoveryProfile, DiscoveryRun

URL = "/api/v1/discovery_profiles"
RUNS = "/api/v1/discovery_runs"
pytestmark = pytest.mark.django_db


@pytest.fixture
def profile(winrm_credential: CredentialProfile) -> DiscoveryProfile:
    return DiscoveryProfile.objects.create(
        name="office", target="127.20.0.1-3", port=5985, credential_profile=winrm_credential
    )


def test_created_with_defaults(api: APIClient, winrm_credential: CredentialProfile) -> None:
    sent = {"name": "n", "target": "10.0.0.0/24", "credential_profile_id": winrm_credential.pk}
    answer = api.post(URL, sent)
    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["port"], shown["ping_first"], shown["auto_provision"]) == (5985, True, False)
    assert shown["polling_interval_seconds"] == 60


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"target": "10.0.0.0/8"}, "target", "16,777,214 addresses"),
        ({"target": "10.0.0.1, !10.0.0.1"}, "target", "excluded"),
        ({"target": "10.0.0.9-1"}, "target", "backwards"),
        ({"target": "garbage"}, "target", "Accepted are"),
        ({"target": "server.example.org"}, "target", "Accepted are"),
        ({"target": ""}, "target", "blank"),
        ({"port": 0}, "port", "from 1 to 65535"),
        ({"port": 70_000}, "port", "65535"),
        ({"credential_profile_id": 12345}, "credential_profile_id", "does not exist"),
        ({"polling_interval_seconds": 1}, "polling_interval_seconds", "10"),
    ],
)
def test_bad_input_names_the_field(
    api: APIClient, winrm_credential: CredentialProfile, fields: dict[str, Any], field: str, words: str
) -> None:
    sent = {"name": "n", "target": "10.0.0.1", "credential_profile_id": winrm_credential.pk, **fields}
    answer = api.post(URL, sent)
    assert answer.status_code == 400
    assert words in " ".join(answer.json()["error"]["fields"][field])


def test_a_taken_name_is_a_conflict(api: APIClient, profile: DiscoveryProfile) -> None:
    sent = {"name": "office", "target": "10.0.0.1", "credential_profile_id": profile.credential_profile_id}
    assert api.post(URL, sent).status_code == 409


@pytest.mark.parametrize("path", ["run", "run/"])
def test_run_is_accepted_and_can_be_followed(api: APIClient, profile: DiscoveryProfile, path: str) -> None:
    answer = api.post(f"{URL}/{profile.pk}/{path}")
    assert answer.status_code == 202
    shown = answer.json()
    assert shown["profile_id"] == profile.pk
    run = api.get(f"{RUNS}/{shown['run_id']}").json()
    assert (run["status"], run["total"], run["done"]) == ("queued", 3, 0)
    assert api.get(f"{RUNS}/{shown['run_id']}/results").json()["results"] == []


def test_unknown_profiles_and_runs_are_not_found(api: APIClient) -> None:
    assert api.post(f"{URL}/999/run").status_code == 404
    assert api.get(f"{RUNS}/999").status_code == 404
    assert api.get(f"{RUNS}/999/results").status_code == 404


def test_runs_cannot_be_written(api: APIClient, profile: DiscoveryProfile) -> None:
    run = services.run_start(profile)
    assert api.post(RUNS, {}).status_code == 405
    assert api.delete(f"{RUNS}/{run.pk}").status_code == 405


def test_a_profile_with_devices_cannot_be_deleted(
    api: APIClient, profile: DiscoveryProfile, device: Device
) -> None:
    Device.objects.filter(pk=device.pk).update(discovery_profile=profile)
    assert api.delete(f"{URL}/{profile.pk}").status_code == 409


def test_deleted_with_its_runs(api: APIClient, profile: DiscoveryProfile) -> None:
    services.run_start(profile)
    assert api.delete(f"{URL}/{profile.pk}").status_code == 204
    assert not DiscoveryRun.objects.exists()


def test_needs_a_login(anonymous: APIClient, profile: DiscoveryProfile) -> None:
    for path in (URL, RUNS, f"{URL}/{profile.pk}"):
        assert anonymous.get(path).status_code == 401
    assert anonymous.post(f"{URL}/{profile.pk}/run").status_code == 401
