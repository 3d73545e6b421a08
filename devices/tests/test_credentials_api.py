"""/api/v1/credentials: secrets go in and never come out."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from devices.api.serializers import CredentialSerializer
from devices.crypto import payload_decrypt, payload_encrypt
from devices.models import CredentialProfile, Device

URL = "/api/v1/credentials"
SECRET = {"username": "monitor", "password": "hunter2-secret"}
pytestmark = pytest.mark.django_db


def stored(pk: int) -> dict[str, Any]:
    return payload_decrypt(CredentialProfile.objects.get(pk=pk).encrypted_payload)


@pytest.mark.parametrize("payload", [SECRET, json.dumps(SECRET)], ids=["object", "string"])
def test_created_from_an_object_or_a_string(api: APIClient, payload: Any) -> None:
    answer = api.post(URL, {"name": "w", "protocol": "winrm", "payload": payload})
    assert answer.status_code == 201
    assert answer.json()["payload"] == "[HIDDEN]"
    assert stored(answer.json()["id"]) == SECRET


def test_no_answer_holds_the_secret(api: APIClient, winrm_credential: CredentialProfile) -> None:
    for path in (URL, f"{URL}/{winrm_credential.pk}", f"{URL}/{winrm_credential.pk}/"):
        answer = api.get(path)
        assert answer.status_code == 200
        assert b"s3cret-of-winrm" not in answer.content
        assert winrm_credential.encrypted_payload.encode() not in answer.content


def test_is_encrypted_at_rest(winrm_credential: CredentialProfile) -> None:
    assert "s3cret" not in winrm_credential.encrypted_payload


@pytest.mark.parametrize("name", ["x\ny", "x\ry", "x\u2028y"])
def test_a_name_is_one_line(api: APIClient, name: str) -> None:
    answer = api.post(URL, {"name": name, "protocol": "winrm", "payload": SECRET})
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"] == {"name": ["Must be one line."]}


@pytest.mark.parametrize("method", ["put", "patch"])
@pytest.mark.parametrize("payload", ["[HIDDEN]", "", None, "absent"])
def test_masked_empty_or_absent_keeps_the_secret(
    api: APIClient, winrm_credential: CredentialProfile, method: str, payload: Any
) -> None:
    body = {"name": "renamed", "protocol": "winrm", "payload": payload}
    if payload == "absent":
        del body["payload"]
    answer = getattr(api, method)(f"{URL}/{winrm_credential.pk}", body)
    assert answer.status_code == 200
    assert answer.json()["name"] == "renamed"
    assert stored(winrm_credential.pk)["password"] == "s3cret-of-winrm"


def test_a_new_payload_replaces_the_secret(api: APIClient, winrm_credential: CredentialProfile) -> None:
    assert api.patch(f"{URL}/{winrm_credential.pk}", {"payload": SECRET}).status_code == 200
    assert stored(winrm_credential.pk) == SECRET


def test_a_change_of_the_name_never_brings_an_old_secret_back(
    api: APIClient, winrm_credential: CredentialProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate = CredentialSerializer.validate

    def rotate_meanwhile(self: CredentialSerializer, attrs: dict[str, Any]) -> dict[str, Any]:
        validated = validate(self, attrs)
        CredentialProfile.objects.update(encrypted_payload=payload_encrypt(SECRET))
        return validated

    monkeypatch.setattr(CredentialSerializer, "validate", rotate_meanwhile)
    assert api.patch(f"{URL}/{winrm_credential.pk}", {"name": "renamed"}).status_code == 200
    assert stored(winrm_credential.pk) == SECRET


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({"protocol": "telnet", "payload": {}}, "protocol", "The known ones are: icmp, snmp, ssh, winrm"),
        ({"protocol": "winrm"}, "payload", "needs its payload"),
        ({"protocol": "winrm", "payload": {"username": "x"}}, "payload", "missing password"),
        ({"protocol": "winrm", "payload": "no json"}, "payload", "Must be a JSON object"),
        ({"protocol": "winrm", "payload": [1]}, "payload", "Must be a JSON object"),
        ({"protocol": "winrm", "payload": {**SECRET, "pasword": "x"}}, "payload", "unknown key"),
        ({"protocol": "winrm", "payload": {**SECRET, "password": 7}}, "payload", "must be of type string"),
        ({"protocol": "icmp", "payload": {"a": 1}}, "payload", "unknown key"),
    ],
)
def test_bad_input_names_the_field(api: APIClient, body: dict[str, Any], field: str, words: str) -> None:
    answer = api.post(URL, {"name": "w", **body})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "invalid"
    assert words in " ".join(error["fields"][field])


def test_a_refused_payload_is_not_echoed(api: APIClient) -> None:
    payload = {**SECRET, "transport": "hunter3-secret", "hunter4-secret": 1}
    answer = api.post(URL, {"name": "w", "protocol": "winrm", "payload": payload})
    assert answer.status_code == 400
    for secret in (b"hunter2", b"hunter3"):
        assert secret not in answer.content


def test_a_taken_name_is_a_conflict(api: APIClient, winrm_credential: CredentialProfile) -> None:
    answer = api.post(URL, {"name": "Windows", "protocol": "winrm", "payload": SECRET})
    assert answer.status_code == 409
    assert "A credential profile with this name exists already" in answer.json()["error"]["message"]


def test_one_in_use_cannot_be_deleted(api: APIClient, device: Device) -> None:
    answer = api.delete(f"{URL}/{device.credential_profile_id}")
    assert answer.status_code == 409
    assert "still used" in answer.json()["error"]["message"]


def test_one_in_use_keeps_its_protocol(api: APIClient, device: Device) -> None:
    answer = api.patch(f"{URL}/{device.credential_profile_id}", {"protocol": "icmp", "payload": {}})
    assert answer.status_code == 400
    assert "protocol" in answer.json()["error"]["fields"]


def test_deleted(api: APIClient, winrm_credential: CredentialProfile) -> None:
    assert api.delete(f"{URL}/{winrm_credential.pk}").status_code == 204
    assert api.get(f"{URL}/{winrm_credential.pk}").status_code == 404


def test_needs_a_login(anonymous: APIClient) -> None:
    answer = anonymous.get(URL)
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == 401


def test_wrong_verb(api: APIClient, winrm_credential: CredentialProfile) -> None:
    assert api.post(f"{URL}/{winrm_credential.pk}", {}).status_code == 405


def test_repr_hides_the_secret(winrm_credential: CredentialProfile) -> None:
    shown = repr(winrm_credential) + str(winrm_credential)
    assert "s3cret" not in shown
    assert winrm_credential.encrypted_payload not in shown


def test_a_put_keeps_the_secret_and_what_it_leaves_out(
    api: APIClient, winrm_credential: CredentialProfile
) -> None:
    before = api.get(f"/api/v1/credentials/{winrm_credential.pk}").json()
    answer = api.put(f"/api/v1/credentials/{winrm_credential.pk}", {"description": "other"}).json()
    assert {**answer, "description": before["description"], "updated_at": ""} == {**before, "updated_at": ""}
    secret = winrm_credential.encrypted_payload
    winrm_credential.refresh_from_db()
    assert winrm_credential.encrypted_payload == secret
