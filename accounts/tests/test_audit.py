"""The audit: every change with its user and place, secrets masked, entries for good."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import Error, connection, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AuditEntry
from accounts.tokens import token_make
from devices.models import CredentialProfile, Device
from devices.services import device_create, device_take_off
from polling.models import ParkedMessage

pytestmark = pytest.mark.django_db


def newest(**filters: Any) -> Any:
    found = AuditEntry.objects.filter(**filters).first()
    assert found is not None
    return found


def test_who_changed_what_from_where(api: APIClient, user: Any, device: Device) -> None:
    url = f"/api/v1/devices/{device.pk}"
    assert api.patch(url, {"hostname": "renamed"}, REMOTE_ADDR="127.0.0.7").status_code == 200
    entry = newest()
    assert (entry.actor, entry.actor_id, entry.source, entry.address) == (
        "operator",
        user.pk,
        "api",
        "127.0.0.7",
    )
    assert (entry.action, entry.object_type, entry.object_id) == ("change", "device", str(device.pk))
    assert (entry.before, entry.after) == ({"hostname": "win-1"}, {"hostname": "renamed"})
    assert api.delete(url).status_code == 204
    gone = newest()
    assert (gone.action, gone.object_name, gone.after) == ("delete", "renamed", None)
    assert gone.before["ip_address"] == "127.20.0.1"


def test_secrets_are_masked_and_their_change_is_seen(api: APIClient) -> None:
    body = {"name": "W", "protocol": "winrm", "payload": {"username": "a", "password": "first-secret"}}
    made = api.post("/api/v1/credentials", body).json()
    new = {"payload": {"username": "a", "password": "second-secret"}}
    assert api.patch(f"/api/v1/credentials/{made['id']}", new).status_code == 200
    entries: Any = AuditEntry.objects.filter(object_type="credential profile")
    change, create = entries
    assert change.before == change.after == {"encrypted_payload": "[HIDDEN]"}
    assert create.after["encrypted_payload"] == "[HIDDEN]"
    stored = CredentialProfile.objects.get().encrypted_payload
    everything = str(list(AuditEntry.objects.values()))
    assert not any(secret in everything for secret in ("first-secret", "second-secret", stored))


def test_a_request_that_changes_nothing_leaves_nothing(api: APIClient, device: Device) -> None:
    before = AuditEntry.objects.count()
    assert api.patch(f"/api/v1/devices/{device.pk}", {"hostname": "win-1"}).status_code == 200
    assert api.patch(f"/api/v1/devices/{device.pk}", {"port": -1}).status_code == 400
    assert AuditEntry.objects.count() == before


def test_an_api_token_is_named(user: Any, device: Device) -> None:
    row, text = token_make(
        user=user, name="a", scope="operator", expires_at=timezone.now() + timedelta(days=1)
    )
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    assert client.post(f"/api/v1/devices/{device.pk}/provision", {}).status_code == 202
    assert newest().source == f"token {row.pk}"


def test_the_admin_is_audited_too(client: Client, device: Device, django_user_model: Any) -> None:
    root = django_user_model.objects.create_superuser("root")
    client.force_login(root)
    client.post("/admin/devices/device/bulk/deactivate/", {"ids": device.pk})
    entry = newest(object_type="device")
    assert (entry.actor, entry.source) == ("root", "admin")
    assert entry.after["status"] == "inactive"


def test_the_admin_is_audited_below_another_path(
    client: Client, device: Device, django_user_model: Any
) -> None:
    client.force_login(django_user_model.objects.create_superuser("root"))
    client.post("/admin/devices/device/bulk/deactivate/", {"ids": device.pk}, SCRIPT_NAME="/x")
    assert newest(object_type="device").actor == "root"


def test_a_user_with_tokens_can_be_deleted(client: Client, user: Any, django_user_model: Any) -> None:
    token_make(user=user, name="a", scope="viewer", expires_at=timezone.now())
    APIClient().post("/login", {"username": "operator", "password": "a long enough password"})
    client.force_login(django_user_model.objects.create_superuser("root"))
    answer = client.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})
    assert answer.status_code == 302
    assert newest(object_type="user").action == "delete"


def test_who_started_a_discovery(api: APIClient, icmp_credential: CredentialProfile) -> None:
    body = {"name": "Office", "target": "127.0.0.1", "port": 0, "credential_profile_id": icmp_credential.pk}
    profile = api.post("/api/v1/discovery_profiles", body).json()
    run = api.post(f"/api/v1/discovery_profiles/{profile['id']}/run").json()
    entry = newest(object_type="discovery run")
    assert (entry.actor, entry.action, entry.object_id) == ("operator", "create", str(run["run_id"]))


@pytest.mark.parametrize("times", [1, 2])
def test_logging_out_everywhere_is_seen(api: APIClient, user: Any, times: int) -> None:
    for _ in range(times):
        assert api.post("/api/v1/auth/logout_everywhere").status_code == 204
    entry = newest()
    assert (entry.actor, entry.object_type) == ("operator", "sessions of a user")
    assert (entry.object_id, entry.object_name) == (str(user.pk), "operator")
    assert entry.after["epoch"] == times


def test_a_role_is_found_by_the_user_who_has_it(user: Any) -> None:
    user.groups.clear()
    entry = newest(object_type="role of a user")
    assert (entry.action, entry.object_id, entry.object_name) == ("delete", str(user.pk), "operator")
    user.delete()
    assert newest(object_type="user").object_name == "operator"


def test_saved_views_and_parked_messages_are_seen(client: Client, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create_superuser("root"))
    client.post("/admin/devices/device/views/", {"name": "Down", "query": "problem=down", "is_shared": "on"})
    entry = newest()
    assert (entry.actor, entry.object_type, entry.after["is_shared"]) == ("root", "saved view", True)
    parked = ParkedMessage.objects.create(task_id="t", body={"large": "sample"})
    client.post(f"/admin/polling/parkedmessage/{parked.pk}/delete/", {"post": "yes"})
    entry = newest()
    assert (entry.action, entry.object_type, entry.object_name) == ("delete", "parked message", "t")
    assert "sample" not in str(entry.before)


def test_roles_given_and_taken_are_seen(user: User) -> None:
    given = newest(object_type="role of a user")
    assert (given.action, given.source) == ("create", "system")
    assert given.after == {
        "id": given.after["id"],
        "user_id": user.pk,
        "group_id": Group.objects.get(name="admin").pk,
    }
    user.groups.clear()
    assert newest(object_type="role of a user").action == "delete"
    user.set_password("another long password")
    user.save()
    assert newest(object_type="user").after == {"password": "[HIDDEN]"}


def test_the_next_request_is_not_the_last_ones(api: APIClient, device: Device) -> None:
    assert api.patch(f"/api/v1/devices/{device.pk}", {"hostname": "renamed"}).status_code == 200
    count = AuditEntry.objects.count()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('nms.actor', true)")
        assert cursor.fetchone() == ("",)
    # What the system does to devices has its own records.
    device_take_off(device_id=device.pk, status="inactive", reason="3 failures")  # type: ignore[arg-type]
    device_create(
        hostname="x",
        ip_address="127.0.0.5",
        plugin_id="winrm",
        port=5985,
        credential_profile=device.credential_profile,
    )
    assert AuditEntry.objects.count() == count


@pytest.mark.parametrize(
    "statement", ["UPDATE accounts_auditentry SET actor = ''", "DELETE FROM accounts_auditentry"]
)
def test_entries_are_never_changed(user: Any, statement: str) -> None:
    assert AuditEntry.objects.exists()
    with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)


def test_it_is_filtered_and_exported(api: APIClient, device: Device) -> None:
    for name in ("=1+1", "b", "c"):
        api.patch(f"/api/v1/devices/{device.pk}", {"hostname": name})
    found = api.get("/api/v1/audit", {"object_type": "device", "object_id": str(device.pk)}).json()
    assert found["count"] == 3
    assert found["results"][0]["after"] == {"hostname": "c"}
    assert api.get("/api/v1/audit", {"actor": "nobody"}).json()["count"] == 0
    answer = api.get("/api/v1/audit/export", {"object_type": "device"})
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert [row["object_name"] for row in rows] == ["'=1+1", "b", "c"]
    assert rows[0]["after"] == '{"hostname":"=1+1"}'
    assert api.get("/api/v1/audit", {"start": "x"}).status_code == 400


@pytest.mark.parametrize(
    ("moment", "status"),
    [("1824-09-26T05:58:59.19-23:34", 200), ("0001-01-01T00:00:00+01:00", 400), ("yesterday", 400)],
)
def test_times_of_any_offset_are_taken(api: APIClient, moment: str, status: int) -> None:
    answer = api.get("/api/v1/audit", {"end": moment})
    assert answer.status_code == status
    assert status == 200 or "end" in answer.json()["error"]["fields"]
