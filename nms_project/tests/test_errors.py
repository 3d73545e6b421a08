"""The one shape of errors, for everything a caller can do wrong and for servers that are away."""

import json
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from django.test import Client
from rest_framework.test import APIClient

from devices.models import CredentialProfile, Device

pytestmark = pytest.mark.django_db


def test_a_body_over_the_limit_is_413(api: APIClient) -> None:
    answer = api.post("/api/v1/metrics", data=b"x" * (1024 * 1024 + 1), content_type="application/json")
    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize("raw", ["[" * 100_000, "{", "NaN", "\x00", "[]", '"x"', "null", "1e999"])
@pytest.mark.parametrize("path", ["credentials", "devices", "discovery_profiles", "metrics"])
def test_hostile_json_is_400(api: APIClient, path: str, raw: str) -> None:
    answer = api.post(f"/api/v1/{path}", data=raw, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["error"]["status"] == 400


def test_a_secret_that_cannot_be_stored_is_400(api: APIClient) -> None:
    payload = {"username": "x", "password": "\ud800"}
    raw = json.dumps({"name": "w", "protocol": "winrm", "payload": payload})
    answer = api.post("/api/v1/credentials", data=raw, content_type="application/json")
    assert answer.status_code == 400


def test_an_unknown_route_is_404_in_json(api: APIClient) -> None:
    answer = api.get("/api/v1/nonsense")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


def test_a_wrong_media_type_is_415(api: APIClient) -> None:
    answer = api.post("/api/v1/metrics", data=b"<a/>", content_type="application/xml")
    assert answer.status_code == 415


def test_postgresql_away_is_503_with_retry_after(api: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused: secret details")

    monkeypatch.setattr(connection, "cursor", away)
    answer = api.get("/api/v1/devices")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "secret details" not in answer.content.decode()


def test_a_server_that_takes_no_writes_is_away() -> None:
    parameters = connection.get_connection_params() | {"options": "-c default_transaction_read_only=on"}
    with pytest.raises(psycopg.OperationalError, match="read-only"):
        psycopg.connect(**parameters)


@pytest.mark.usefixtures("committed")
def test_a_server_that_takes_no_writes_any_more_is_away(api: APIClient, device: Device) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    path = f"/api/v1/devices/{device.pk}"
    assert api.patch(path, {"hostname": "x"}).status_code == 503
    assert api.patch(path, {"hostname": "x"}).status_code == 200  # by another connection


@pytest.mark.parametrize("path", ["/admin/", "/admin/devices/device/", "/admin/login/"])
def test_an_admin_without_postgresql_is_503(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(connection, "cursor", away)
    answer = admin_client.get(path)
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


def test_a_body_without_a_length_is_411(api: APIClient) -> None:
    answer = api.patch("/api/v1/devices/1", {"hostname": "x"}, headers={"Transfer-Encoding": "chunked"})
    assert answer.status_code == 411
    assert answer.json()["error"]["code"] == "length_required"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("devices/export", "text/csv"),
        ("credentials/export", "text/csv"),
        ("discovery_profiles/export", "text/csv"),
        ("audit/export", "text/csv"),
        ("metrics/export?output=csv", "text/csv"),
        ("metrics/export", "application/x-ndjson"),
        ("metrics/prometheus?path=a", "text/plain"),
    ],
)
def test_a_download_may_be_asked_for_by_its_type(api: APIClient, path: str, kind: str) -> None:
    answer = api.get(f"/api/v1/{path}", headers={"Accept": kind})
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith(kind)


def test_an_error_is_json_for_who_wanted_a_table(api: APIClient) -> None:
    answer = api.get("/api/v1/metrics/export?level=2h", headers={"Accept": "text/csv"})
    assert answer.status_code == 400
    assert answer.json()["error"]["fields"]


def test_redis_away_is_503(client: Client, settings: Any) -> None:
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    answer = client.get("/healthz")
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("devices/import", '[{"\\ud800": 1}]'),
        ("devices", '{"status": "\\ud800"}'),
        ("auth/tokens", '{"name": "a", "scope": "\\ud800"}'),
    ],
)
def test_half_a_surrogate_pair_is_bad_input(api: APIClient, path: str, body: str) -> None:
    answer = api.post(f"/api/v1/{path}", body, content_type="application/json")
    assert answer.status_code == 400
    assert "surrogate" in str(answer.json()["error"]["fields"])


@pytest.mark.parametrize("path", ["devices/export.json", "plugins.json", "audit/export.json", "devices.json"])
def test_there_are_no_format_suffixes(api: APIClient, path: str) -> None:
    assert api.get(f"/api/v1/{path}").status_code == 404


def test_database_text_never_shows(api: APIClient, winrm_credential: CredentialProfile) -> None:
    answer = api.post(
        "/api/v1/credentials",
        {"name": "Windows", "protocol": "winrm", "payload": {"username": "u", "password": "p"}},
    )
    assert "constraint" not in answer.content.decode()
    assert "duplicate key" not in answer.content.decode()


def test_the_health_check_asks_by_any_host_name(client: Client) -> None:
    answer = client.get("/healthz", headers={"host": "10.9.8.7:8000"})
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
