"""What nobody's browser sends by itself: each page answers it, and none with 500."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from console.models import SavedView
from devices.models import Device
from discovery.models import DiscoveryProfile, DiscoveryRun

DIGITS = "9" * 5_000  # more than Python makes a number of
IDS = [DIGITS, "9" * 19, "\0", "½", "1_2F"]
QUERIES = [
    {"q": "\0", "_changelist_filters": "\0", "e": "\0", "p": DIGITS, "o": f"{DIGITS}.\0"},
    {"q": DIGITS},
    {"q": " ".join(map(str, range(50)))},
    {"id__exact": DIGITS},
    {"id__in": "1,\0"},
]
ACTIONS = {"devices_device": "delete", "accounts_apitoken": "revoke", "auth_user": "log_out"}
OF_A_MODEL = [
    ("devices_device", {"status__exact": "\0"}),
    ("devices_device", {"hostname__regex": "("}),
    ("devices_device", {"hostname__iregex": "\0"}),
    ("devices_device", {"state": "\0"}),
    ("devices_device", {"discovery_profile__id__exact": DIGITS}),
    ("devices_device", {"should_ping__exact": "\0"}),
    ("devices_device", {"ip_address": "abc"}),
    ("devices_device", {"status_since__year": "99999"}),
    ("discovery_discoveryresult", {"target": "abc"}),
    ("accounts_apitoken", {"scope__exact": "\0"}),
    ("accounts_auditentry", {"at__year": "9999"}),
    ("accounts_auditentry", {"at__year": "9999", "at__month": "12", "at__day": "31"}),
    ("accounts_auditentry", {"at__year": DIGITS}),
    ("accounts_auditentry", {"at__gte": "\0"}),
]

pytestmark = pytest.mark.django_db(transaction=True)


def model_names() -> list[str]:
    reverse("admin:index")  # has the pages registered, wherever that was not done yet
    return [f"{model._meta.app_label}_{model._meta.model_name}" for model in admin.site._registry]


def test_a_list_answers_any_query(admin_client: Client, device: Device) -> None:
    queries = [(name, query) for name in model_names() for query in QUERIES] + OF_A_MODEL
    for name, query in queries:
        answer = admin_client.get(reverse(f"admin:{name}_changelist"), query, follow=True)
        assert answer.status_code in (200, 400), (name, query)


@pytest.mark.parametrize(
    "name", ["devices_device", "devices_credentialprofile", "discovery_discoveryprofile"]
)
def test_an_export_with_a_filter_that_cannot_be_is_no_download(
    admin_client: Client, device: Device, name: str
) -> None:
    for query in ({"id__exact": DIGITS}, {"name__regex": "("}, {"id__iregex": "\0"}, {"id__exact": "abc"}):
        answer = admin_client.get(reverse(f"admin:{name}_export"), query, follow=True)
        assert answer.headers["Content-Type"].startswith("text/html"), query


def test_a_page_of_no_row_leads_away(admin_client: Client) -> None:
    for name, pk, page in product(model_names(), IDS, ("change", "history", "delete")):
        answer = admin_client.get(reverse(f"admin:{name}_{page}", args=[pk]))
        assert answer.status_code in (302, 403), (name, pk, page)


def test_an_action_on_no_row_does_nothing(admin_client: Client, device: Device) -> None:
    for name, pk in product(model_names(), [DIGITS, "\0", "x", ""]):
        sent = {"action": ACTIONS.get(name, "delete_selected"), "_selected_action": [pk], "index": DIGITS}
        answer = admin_client.post(reverse(f"admin:{name}_changelist"), sent)
        assert answer.status_code in (200, 302, 403), (name, pk)
    assert Device.objects.exists()


def test_ids_to_approve_that_are_none(admin_client: Client, device: Device) -> None:
    profile = DiscoveryProfile.objects.create(
        name="net", target="127.0.0.1", port=5985, credential_profile=device.credential_profile
    )
    run = DiscoveryRun.objects.create(profile=profile, target="127.0.0.1", total=1)
    path = reverse("admin:discovery_discoveryrun_approve", args=[run.pk])
    assert admin_client.post(path, {"device": [DIGITS, "\0", "²"]}).status_code == 200
    nowhere = reverse("admin:discovery_discoveryrun_approve", args=[run.pk + 1])
    assert admin_client.post(nowhere, {"all": "1"}).status_code == 404
    preview = reverse("admin:discovery_discoveryprofile_preview")
    sent = {"credential_profile": DIGITS, "profile": DIGITS, "target": "\0"}
    assert admin_client.post(preview, sent).status_code == 200


def test_a_view_with_a_nul_is_not_kept(admin_client: Client) -> None:
    path = reverse("admin:devices_device_views")
    for sent in ({"forget": "\0"}, {"name": "a", "query": "status=%00"}, {"name": "\0", "query": ""}):
        assert admin_client.post(path, sent, follow=True).status_code == 200
    assert not SavedView.objects.exists()


LOOKUPS = ("", "__startswith", "__regex", "__range", "__gt", "__in", "__isnull", "__contains", "__bogus")


def columns() -> Iterator[tuple[Any, str]]:
    """Every column of every model of the admin that its list does not filter by."""
    for model, model_admin in sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label):
        filters = [item[0] if isinstance(item, tuple) else item for item in model_admin.list_filter]
        shown = {item for item in filters if isinstance(item, str)}
        for field in model._meta.get_fields():
            if field.name not in shown and field.name != model_admin.date_hierarchy:
                yield model_admin, field.name


def test_a_list_takes_no_lookup_but_those_of_its_filters(admin_client: Client, device: Device) -> None:
    """Not even of an administrator: what a page does not show is not to be guessed by its filters."""
    model_names()
    tried = 0
    for model_admin, name in columns():
        label = f"{model_admin.opts.app_label}_{model_admin.opts.model_name}"
        for lookup in LOOKUPS:
            answer = admin_client.get(reverse(f"admin:{label}_changelist"), {f"{name}{lookup}": "1"})
            if f"{name}{lookup}" not in parameters_of(model_admin):
                assert answer.status_code == 400, (label, name, lookup)
                tried += 1
    assert tried > 500


def parameters_of(model_admin: Any) -> set[str]:
    """Names of filters that are no column's."""
    return {getattr(item, "parameter_name", "") for item in model_admin.list_filter} | {
        *model_admin.linked_lookups
    }


@pytest.mark.parametrize(
    ("name", "lookup"),
    [
        ("devices_credentialprofile", "encrypted_payload__startswith"),
        ("auth_user", "password__startswith"),
        ("accounts_apitoken", "digest__startswith"),
        ("devices_device", "credential_profile__encrypted_payload__startswith"),
    ],
)
def test_a_secret_cannot_be_guessed_by_a_filter(client: Client, name: str, lookup: str) -> None:
    viewer = User.objects.create_user("viewer", password="p", is_staff=True)
    viewer.groups.add(Group.objects.get(name="viewer"))
    client.force_login(viewer)
    answers = {
        client.get(reverse(f"admin:{name}_changelist"), {lookup: value}).status_code
        for value in ("a", "gAAAA")
    }
    assert answers <= {400, 403}
