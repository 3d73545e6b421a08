"""What programs and people send that looks right: read as its author meant it, or refused."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from devices.addresses import network_parse
from devices.models import CredentialProfile, Device, name_cleaned
from nms_project.errors import InvalidInput
from nms_project.tables import csv_rows
from plugins.contract import parse_result

pytestmark = pytest.mark.django_db
URL = "/api/v1/devices"


@pytest.mark.parametrize("text", ["{}_0", "0{}", "+{}", "%2B{}", "{}.0", "\u0661", "-{}", "{}e0"])
def test_an_id_is_plain_digits(api: APIClient, device: Device, text: str) -> None:
    assert api.get(f"{URL}/{text.format(device.pk)}").status_code == 404
    assert api.get(f"{URL}/{text.format(device.pk)}/explain").status_code == 404


@pytest.mark.parametrize("text", ["1_0", "\u0661", "1.0", "0x1", "1e0"])
@pytest.mark.parametrize("name", ["credential_profile_id", "port"])
def test_a_number_of_a_filter_is_plain_digits(api: APIClient, device: Device, name: str, text: str) -> None:
    assert api.get(URL, {name: text}).status_code == 400


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/24", "10.0.0.0/24"),
        ("10.0.0.7/24", "10.0.0.0/24"),
        ("10.0.0.0/255.255.255.0", "10.0.0.0/24"),
        ("10.0.0.0/128.0.0.0", "0.0.0.0/1"),
        ("::/0", "::/0"),
        ("10.0.0.1", "10.0.0.1/32"),
    ],
)
def test_networks_that_mean_one_thing(text: str, expected: str) -> None:
    assert str(network_parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/0.0.0.255",
        "10.0.0.0/024",
        "10.0.0.0/+24",
        "10.0.0.0/2_4",
        "10.0.0.0/\u0662\u0664",
        "10.0.0.0/",
    ],
)
def test_networks_that_could_mean_another(
    api: APIClient, winrm_credential: CredentialProfile, text: str
) -> None:
    with pytest.raises(ValueError, match="."):
        network_parse(text)
    body = {"name": "n", "target": text, "credential_profile_id": winrm_credential.pk}
    assert api.post("/api/v1/discovery_profiles", body).status_code == 400


@pytest.mark.parametrize("end", ["010", "00", "01", "0x5", "\u0665", "+5"])
def test_a_range_ends_in_plain_digits(api: APIClient, winrm_credential: CredentialProfile, end: str) -> None:
    body = {"name": "n", "target": f"10.0.0.1-{end}", "credential_profile_id": winrm_credential.pk}
    assert api.post("/api/v1/discovery_profiles", body).status_code == 400


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_scheme_of_a_login_has_no_case(anonymous: APIClient, admin_user: Any, scheme: str) -> None:
    login = {"username": "admin", "password": "password"}
    token = anonymous.post("/login", login).json()["token"]
    answer = anonymous.get("/api/v1/auth/me", headers={"authorization": f"{scheme} {token}"})
    assert answer.status_code == 200


def test_json_behind_a_byte_order_mark(api: APIClient, device: Device) -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"device_ids": [device.pk], "path": "cpu"}).encode()
    assert api.post("/api/v1/metrics", body, content_type="application/json").status_code == 200


@pytest.mark.parametrize("name", ["one\ntwo", "a\x1b[31m", "a\u2028b", "a\x7f", "a\tb"])
def test_a_device_has_a_name_of_one_line(api: APIClient, device: Device, name: str) -> None:
    answer = api.patch(f"{URL}/{device.pk}", {"hostname": name})
    assert answer.status_code == 400
    assert "hostname" in answer.json()["error"]["fields"]


def test_a_name_that_a_host_gave_itself_is_cleaned() -> None:
    assert name_cleaned("a\x00b\r\n  c\x1b e\u0301") == "a b c \u00e9"


@pytest.mark.parametrize("term", ["\u00e9cole", "e\u0301cole", "\u00c9COLE"])
@pytest.mark.parametrize("name", ["\u00e9cole", "e\u0301cole"])
def test_a_name_is_found_however_its_accents_are_written(
    api: APIClient, device: Device, name: str, term: str
) -> None:
    api.patch(f"{URL}/{device.pk}", {"hostname": name})
    assert api.get(URL, {"search": term}).json()["count"] == 1


@pytest.mark.parametrize("term", ["'", '"', "''"])
def test_a_quotation_mark_alone_does_not_find_everything(api: APIClient, device: Device, term: str) -> None:
    for path in (URL, "/api/v1/credentials"):
        assert api.get(path, {"search": term}).json()["count"] == 0


def test_times_may_be_written_in_lower_case(api: APIClient, device: Device) -> None:
    query = {"path": "cpu.total", "start": "2026-01-01t00:00:00z", "end": "2026-01-01t01:00:00z"}
    assert api.get(f"{URL}/{device.pk}/metrics", query).status_code == 200
    assert api.get("/api/v1/audit", {"since": "2026-01-01t00:00:00z"}).status_code == 200
    result = parse_result(
        {"request_id": "1", "success": True, "data": {}, "sampled_at": "2026-01-01t00:00:00z"}
    )
    assert result.sampled_at is not None


def test_a_header_of_a_spreadsheet() -> None:
    assert csv_rows(" A ,B,,\n1,2,,\n", ["a", "b"], 10) == [{"a": "1", "b": "2"}]
    with pytest.raises(InvalidInput, match="more cells than the header names"):
        csv_rows("a,b,\n1,2,3\n", ["a", "b"], 10)
    with pytest.raises(InvalidInput, match="twice"):
        csv_rows("a,A\n1,2\n", ["a"], 10)
