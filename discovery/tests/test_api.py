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


def test_runs_are_listed_with_their_progress(
    api: APIClient, profile: DiscoveryProfile, django_assert_num_queries: Any
) -> None:
    runs = [
        DiscoveryRun.objects.create(profile=profile, target="127.20.0.1-3", total=3, status="done")
        for _ in range(4)
    ]
    for run, failures in zip(runs, range(4), strict=True):
        for last in range(1, failures + 1):
            run.results.create(target=f"127.20.0.{last}", outcome="failed", error_code="timeout")
    newest, *older = (run.pk for run in reversed(runs))

    def listed(**query: Any) -> list[tuple[int, int]]:
        answer = api.get(RUNS, query).json()
        assert answer["count"] == 4
        return [(row["id"], row["failed"]) for row in answer["results"]]

    listed()  # reads the permissions
    with django_assert_num_queries(2):
        assert listed() == list(zip([newest, *older], (3, 2, 1, 0), strict=True))
    with django_assert_num_queries(3):
        assert listed(page_size=3, page=2) == [(older[-1], 0)]
    assert listed(ordering="id", page_size=2) == [(runs[0].pk, 0), (runs[1].pk, 1)]


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


def another(name: str, protocol: str = "winrm") -> CredentialProfile:
    return CredentialProfile.objects.create(name=name, protocol=protocol, encrypted_payload="x")


def test_further_credentials_in_their_order(api: APIClient, profile: DiscoveryProfile) -> None:
    first, second = another("a"), another("b")
    url = f"{URL}/{profile.pk}"
    shown = api.patch(url, {"fallback_credential_profile_ids": [second.pk, first.pk]}).json()
    assert shown["fallback_credential_profile_ids"] == [second.pk, first.pk]
    # A change of something else keeps them.
    assert api.patch(url, {"name": "home"}).json()["fallback_credential_profile_ids"] == [second.pk, first.pk]
    assert (
        api.patch(url, {"fallback_credential_profile_ids": []}).json()["fallback_credential_profile_ids"]
        == []
    )


def test_created_with_further_credentials(api: APIClient, winrm_credential: CredentialProfile) -> None:
    other = another("a")
    sent = {
        "name": "n",
        "target": "10.0.0.1",
        "credential_profile_id": winrm_credential.pk,
        "fallback_credential_profile_ids": [other.pk],
    }
    answer = api.post(URL, sent)
    assert answer.status_code == 201
    assert answer.json()["fallback_credential_profile_ids"] == [other.pk]
    assert api.delete(f"/api/v1/credentials/{other.pk}").status_code == 409
    assert api.patch(f"/api/v1/credentials/{other.pk}", {"protocol": "ssh"}).status_code == 400


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda own: [own.pk], "tried once"),
        (lambda own: [another("a").pk] * 2, "tried once"),
        (lambda own: [another("a", "ssh").pk], "All must be for 'winrm'"),
        (lambda own: [another(str(number)).pk for number in range(5)], "At most 4"),
        (lambda own: [12345], "does not exist"),
        (lambda own: "x", "Expected a list"),
        (lambda own: [1.5], "integer"),
        (lambda own: [10**30], "less than or equal"),
        (lambda own: [[1]], "integer"),
        (lambda own: [1] * 20_000, "At most 4"),
    ],
)
def test_further_credentials_that_cannot_be_tried(
    api: APIClient, profile: DiscoveryProfile, make: Any, words: str
) -> None:
    sent = {"fallback_credential_profile_ids": make(profile.credential_profile)}
    answer = api.patch(f"{URL}/{profile.pk}", sent)
    assert answer.status_code == 400
    assert words in str(answer.json()["error"]["fields"])


def test_the_list_costs_the_same_however_many_profiles_have_further_credentials(
    api: APIClient, profile: DiscoveryProfile, django_assert_num_queries: Any
) -> None:
    services.fallbacks_set(profile, [another("a")])
    for number in range(5):
        copy = DiscoveryProfile.objects.create(
            name=str(number), target="10.0.0.1", port=1, credential_profile=profile.credential_profile
        )
        services.fallbacks_set(copy, [another(f"b{number}")])
    with django_assert_num_queries(4):
        assert api.get(URL).json()["count"] == 6


def test_a_number_beyond_all_numbers_is_refused(api: APIClient, profile: DiscoveryProfile) -> None:
    raw = '{"fallback_credential_profile_ids": [1e400]}'
    answer = api.patch(f"{URL}/{profile.pk}", data=raw, content_type="application/json")
    assert answer.status_code == 400
