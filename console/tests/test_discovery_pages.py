"""The pages of discovery: what a target comes to, how far a run is, and approving what it found."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from devices.models import CredentialProfile, Device, DeviceStatus
from devices.services import database_now, device_create
from discovery.models import DiscoveryProfile, DiscoveryResult, DiscoveryRun, Outcome, RunStatus
from discovery.services import run_fail

pytestmark = pytest.mark.django_db


@pytest.fixture
def profile(winrm_credential: CredentialProfile) -> DiscoveryProfile:
    return DiscoveryProfile.objects.create(
        name="office", target="10.0.0.0/24", port=5985, credential_profile=winrm_credential
    )


@pytest.fixture
def run(profile: DiscoveryProfile) -> DiscoveryRun:
    return DiscoveryRun.objects.create(
        profile=profile,
        target=profile.target,
        total=254,
        status=RunStatus.RUNNING,
        started_at=database_now() - timedelta(seconds=10),
    )


def previewed(client: Client, target: str, **fields: Any) -> str:
    path = reverse("admin:discovery_discoveryprofile_preview")
    page = client.post(path, {"target": target, "ping_first": "on", **fields})
    assert page.status_code == 200
    return " ".join(page.content.decode().split())


def add_device(run: DiscoveryRun, number: int, status: DeviceStatus = DeviceStatus.DISCOVERED) -> Device:
    address = f"10.0.0.{number}"
    device = device_create(
        hostname=f"host-{number}",
        ip_address=address,
        plugin_id="winrm",
        port=5985,
        credential_profile=run.profile.credential_profile,
        status=status,
    )
    DiscoveryResult.objects.create(
        run=run, target=address, outcome=Outcome.CREATED, hostname=device.hostname, device=device
    )
    return device


def fail(run: DiscoveryRun, number: int, code: str, error: str) -> None:
    target = f"10.0.0.{number}"
    DiscoveryResult.objects.create(
        run=run, target=target, outcome=Outcome.FAILED, error_code=code, error=error
    )


def test_a_target_says_what_it_comes_to(admin_client: Client, winrm_credential: CredentialProfile) -> None:
    page = previewed(admin_client, "10.0.0.0/24, !10.0.0.1", credential_profile=winrm_credential.pk)
    assert "253 addresses." in page
    assert "pings each, and logs in to those that answer" in page
    assert "known after the first run" in page
    assert "Others look there too" not in page


def test_a_target_that_is_none_says_why(admin_client: Client) -> None:
    assert "runs backwards" in previewed(admin_client, "10.0.0.9-1")
    assert "a run takes at most" in previewed(admin_client, "10.0.0.0/8")
    assert "&lt;b&gt;" in previewed(admin_client, "<b>")


def test_overlaps_are_named_with_their_size(admin_client: Client, profile: DiscoveryProfile) -> None:
    DiscoveryProfile.objects.filter(pk=profile.pk).update(target="10.0.0.100-110, 192.0.2.1")
    page = previewed(admin_client, "10.0.0.0/24, !10.0.0.105")
    assert "office</a>: 10 of these addresses" in page
    assert "office" not in previewed(admin_client, "10.0.0.0/24", profile=profile.pk)
    assert "office" not in previewed(admin_client, "10.0.1.0/24")


def test_the_time_is_that_of_runs_of_the_kind(
    admin_client: Client, profile: DiscoveryProfile, run: DiscoveryRun
) -> None:
    now = database_now()
    DiscoveryRun.objects.filter(pk=run.pk).update(
        status=RunStatus.DONE, started_at=now - timedelta(seconds=127), finished_at=now
    )
    fields = {"credential_profile": profile.credential_profile_id}
    page = previewed(admin_client, "10.1.0.1-10.1.1.252", **fields)  # twice the addresses
    assert "By the last 1 run of this kind that takes about 4 min." in page
    other = {"target": "10.1.0.1", **fields}
    path = reverse("admin:discovery_discoveryprofile_preview")
    assert "known after the first run" in admin_client.post(path, other).content.decode()  # without ping


def test_the_page_of_a_profile_leads_to_a_run(admin_client: Client, profile: DiscoveryProfile) -> None:
    path = reverse("admin:discovery_discoveryprofile_change", args=[profile.pk])
    assert "Run now" in admin_client.get(path).content.decode()
    answer = admin_client.post(reverse("admin:discovery_discoveryprofile_run", args=[profile.pk]))
    run = DiscoveryRun.objects.get()
    assert answer["Location"] == reverse("admin:discovery_discoveryrun_change", args=[run.pk])
    assert f"Run {run.pk}" in admin_client.get(path).content.decode()
    assert "Queued: 0 of 254" in admin_client.get(answer["Location"]).content.decode()


def test_a_run_tells_how_far_it_is_and_why_not(admin_client: Client, run: DiscoveryRun) -> None:
    add_device(run, 1)
    fail(run, 2, "unreachable", "no answer to ping")
    fail(run, 3, "unreachable", "no answer to ping")
    fail(run, 4, "auth", "Windows: the login was <refused>")
    path = reverse("admin:discovery_discoveryrun_live", args=[run.pk])
    page = " ".join(admin_client.get(path).content.decode().split())
    assert "Running: 4 of 254 addresses" in page
    assert "Left, about" in page
    assert page.index("did not answer") < page.index("refused the credential")
    assert "the login was &lt;refused&gt;" in page
    assert "Approve all" in page
    run_fail(run.pk, "fping is not installed")
    page = admin_client.get(path).content.decode()
    assert "fping is not installed" in page
    assert "Took" in page


def test_a_run_has_a_constant_number_of_queries(
    admin_client: Client, run: DiscoveryRun, django_assert_num_queries: Any
) -> None:
    path = reverse("admin:discovery_discoveryrun_live", args=[run.pk])
    add_device(run, 1)
    admin_client.get(path)
    with django_assert_num_queries(8):
        admin_client.get(path)
    for number in range(2, 12):
        add_device(run, number)
        fail(run, 100 + number, "auth", "refused")
    with django_assert_num_queries(8):
        admin_client.get(path)


def test_what_was_found_is_approved_at_once(admin_client: Client, run: DiscoveryRun) -> None:
    first, second = add_device(run, 1), add_device(run, 2)
    active = add_device(run, 3, DeviceStatus.ACTIVE)
    path = reverse("admin:discovery_discoveryrun_approve", args=[run.pk])
    page = admin_client.post(path, {"all": "1"}).content.decode()
    assert "Provision 2 devices" in page
    assert f'<script id="bulk-ids" type="application/json">[{first.pk}, {second.pk}]</script>' in page
    # One that waits for no approval, and what is no id, are left out.
    ticked = {"device": [second.pk, active.pk, "x", "9" * 40]}
    assert "Provision 1 device" in admin_client.post(path, ticked).content.decode()


def test_who_may_see_profiles_alone_sees_no_runs(
    narrow: Client, profile: DiscoveryProfile, run: DiscoveryRun
) -> None:
    page = narrow.get(reverse("admin:discovery_discoveryprofile_change", args=[profile.pk])).content.decode()
    assert profile.name in page
    assert "Newest runs" not in page


def test_a_viewer_watches(viewer: Client, profile: DiscoveryProfile, run: DiscoveryRun) -> None:
    add_device(run, 1)
    page = viewer.get(reverse("admin:discovery_discoveryrun_change", args=[run.pk]))
    assert page.status_code == 200
    assert "Approve" not in page.content.decode()
    path = reverse("admin:discovery_discoveryprofile_change", args=[profile.pk])
    assert "Run now" not in viewer.get(path).content.decode()
    for name, pk in (("discoveryrun_approve", run.pk), ("discoveryprofile_run", profile.pk)):
        assert viewer.post(reverse(f"admin:discovery_{name}", args=[pk])).status_code == 403


def test_what_is_not_there_and_what_is_no_post(admin_client: Client, profile: DiscoveryProfile) -> None:
    for path in (
        reverse("admin:discovery_discoveryprofile_preview"),
        reverse("admin:discovery_discoveryprofile_run", args=[profile.pk]),
        reverse("admin:discovery_discoveryrun_approve", args=[1]),
    ):
        assert admin_client.get(path).status_code == 405
    missing = reverse("admin:discovery_discoveryprofile_run", args=[999_999])
    assert admin_client.post(missing).status_code == 404
    assert admin_client.get(reverse("admin:discovery_discoveryrun_live", args=[999_999])).status_code == 404
    DiscoveryProfile.objects.update(target="10.0.0.0/8")  # more than a run may take by now
    page = admin_client.post(reverse("admin:discovery_discoveryprofile_run", args=[profile.pk]), follow=True)
    assert "a run takes at most" in page.content.decode()
