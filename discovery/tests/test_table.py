"""Import and export of discovery profiles, with their credential profiles by name."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from devices.models import CredentialProfile
from discovery.models import DiscoveryProfile

pytestmark = pytest.mark.django_db
URL = "/api/v1/discovery_profiles"


def outcomes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["outcome"] for row in answer.json()["rows"]]


@pytest.fixture
def others(winrm_credential: CredentialProfile) -> list[CredentialProfile]:
    """Two more for Windows, with names that a table must quote."""
    return [
        CredentialProfile.objects.create(name=name, protocol="winrm", encrypted_payload="x")
        for name in ('second, "best"', "=third")
    ]


def test_what_comes_out_goes_in_again(
    api: APIClient, winrm_credential: CredentialProfile, others: list[CredentialProfile]
) -> None:
    body = {
        "name": "office",
        "target": "10.0.0.0/24,\n!10.0.0.1",
        "credential_profile_id": winrm_credential.pk,
        "fallback_credential_profile_ids": [others[1].pk, others[0].pk],
        "auto_provision": True,
    }
    first = api.post(URL, body).json()
    table = api.get(f"{URL}/export").getvalue().decode()
    assert outcomes(api.generic("POST", f"{URL}/import", table, content_type="text/csv")) == ["exists"]
    DiscoveryProfile.objects.all().delete()
    assert outcomes(api.generic("POST", f"{URL}/import", table, content_type="text/csv")) == ["created"]
    (second,) = api.get(URL).json()["results"]
    unlike = {"id", "created_at", "updated_at"}
    assert {k: v for k, v in first.items() if k not in unlike} == {
        k: v for k, v in second.items() if k not in unlike
    }


def test_each_row_says_what_is_wrong(
    api: APIClient, winrm_credential: CredentialProfile, icmp_credential: CredentialProfile
) -> None:
    good = {"name": "a", "target": "10.0.0.1", "credential_profile": "Windows"}
    rows = [
        good,
        {**good, "name": "b", "target": "10.0.0.0/8"},
        {**good, "name": "c", "credential_profile": "nobody's"},
        {**good, "name": "d", "fallback_credential_profiles": ["Windows"]},
        {**good, "name": "e", "fallback_credential_profiles": ["Windows", 7, "x"]},
        {**good, "name": "f", "colour": "red"},
        {**good, "name": "g", "fallback_credential_profiles": "a\n" * 200_000},
        {**good, "name": "a", "target": "10.0.0.9"},
    ]
    answer = api.post(f"{URL}/import", rows)
    assert outcomes(answer) == ["created", *["failed"] * 6, "exists"]
    wrong = [list(row["errors"]) for row in answer.json()["rows"]]
    assert len(answer.content) < 5_000
    assert wrong[1:7] == [
        ["target"],
        ["credential_profile"],
        ["fallback_credential_profiles"],
        ["fallback_credential_profiles.1", "fallback_credential_profiles.2"],
        ["colour"],
        ["fallback_credential_profiles"],
    ]
    assert [profile.target for profile in DiscoveryProfile.objects.all()] == ["10.0.0.1"]


def test_exporting_has_a_constant_number_of_queries(
    api: APIClient, winrm_credential: CredentialProfile, django_assert_max_num_queries: Any
) -> None:
    rows = [{"name": f"n{n}", "target": "10.0.0.1", "credential_profile": "Windows"} for n in range(50)]
    api.post(f"{URL}/import", rows)
    with django_assert_max_num_queries(4):
        assert api.get(f"{URL}/export").getvalue().decode().count("\n") == 51
