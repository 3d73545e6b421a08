"""Import and export of credential profiles: no secret comes out, a new name needs one to go in."""

import csv
import io
import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import AuditEntry
from devices.crypto import payload_decrypt
from devices.models import CredentialProfile
from devices.transfer import CredentialTable
from nms_project.errors import Conflict
from nms_project.transfer.table import table_check, table_import

pytestmark = pytest.mark.django_db
URL = "/api/v1/credentials"


def outcomes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["outcome"] for row in answer.json()["rows"]]


def exported(api: APIClient) -> str:
    return str(api.get(f"{URL}/export").getvalue().decode())


def test_no_secret_comes_out_and_the_same_table_changes_nothing(
    api: APIClient, winrm_credential: CredentialProfile
) -> None:
    table = exported(api)
    assert table == "name,description,protocol\r\nWindows,,winrm\r\n"
    answer = api.generic("POST", f"{URL}/import", table, content_type="text/csv")
    assert outcomes(answer) == ["exists"]
    winrm_credential.refresh_from_db()
    assert payload_decrypt(winrm_credential.encrypted_payload)["password"] == "s3cret-of-winrm"


def test_a_new_name_needs_its_payload_and_is_stored_encrypted(api: APIClient) -> None:
    rows = [
        {"name": "ping", "protocol": "icmp"},
        {"name": "none", "protocol": "winrm"},
        {"name": "wrong", "protocol": "winrm", "payload": {"username": "hunter2"}},
        {"name": "text", "protocol": "winrm", "payload": '{"username": "u", "password": "p4ss"}'},
        {"name": "text", "protocol": "winrm", "payload": {"username": "u", "password": "other"}},
        {"name": "unknown", "protocol": "telnet", "payload": {}},
        {"name": ["x"], "protocol": "icmp"},
    ]
    answer = api.post(f"{URL}/import", rows)
    assert outcomes(answer) == ["created", "failed", "failed", "created", "exists", "failed", "failed"]
    assert "hunter2" not in answer.content.decode()
    reports = answer.json()["rows"]
    assert reports[1]["errors"] == {"payload": ["A new credential needs its payload."]}
    assert list(reports[5]["errors"]) == ["protocol"]
    stored = CredentialProfile.objects.get(name="text").encrypted_payload
    assert payload_decrypt(stored)["password"] == "p4ss"
    made = AuditEntry.objects.filter(object_type="credential profile", action="create").latest("id")
    assert stored not in str(made.after)


def test_all_or_nothing_and_a_dry_run_make_none(api: APIClient) -> None:
    rows = [{"name": "ping", "protocol": "icmp"}, {"name": "none", "protocol": "winrm"}]
    assert outcomes(api.post(f"{URL}/import?all_or_nothing=true", rows)) == ["not_done", "failed"]
    assert outcomes(api.post(f"{URL}/import?dry_run=true", rows)) == ["created", "failed"]
    assert not CredentialProfile.objects.exists()


def test_a_name_deleted_meanwhile_makes_no_empty_profile(winrm_credential: CredentialProfile) -> None:
    table = CredentialTable()
    checked = table_check(table, [{"name": "Windows"}])
    winrm_credential.delete()
    with pytest.raises(Conflict, match="deleted meanwhile"):
        table_import(table, checked, is_dry_run=False, is_all_or_nothing=False)
    assert not CredentialProfile.objects.exists()


def test_a_cell_may_be_as_large_as_its_secret(api: APIClient) -> None:
    payload = {"username": "u", "password": "p", "known_hosts": "x" * 140_000}
    body = io.StringIO()
    csv.writer(body).writerows([["name", "protocol", "payload"], ["s", "ssh", json.dumps(payload)]])
    answer = api.post("/api/v1/credentials/import", body.getvalue(), content_type="text/csv")
    assert answer.json()["counts"] == {"created": 1}


def test_new_names_are_made_in_their_order_whatever_the_rows(api: APIClient) -> None:
    """Two imports with the same names never wait for each other in a circle."""
    rows = [{"name": name, "protocol": "icmp"} for name in ("c", "a", "b", "a")]
    assert outcomes(api.post(f"{URL}/import", rows)) == ["created", "created", "created", "exists"]
    assert list(CredentialProfile.objects.order_by("id").values_list("name", flat=True)) == ["a", "b", "c"]
