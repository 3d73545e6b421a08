"""/login and the token endpoints, as clients that exist use them."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

PASSWORD = "a long enough password"
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("path", ["/login", "/login/"])
def test_login_answers_with_a_token_that_works(anonymous: APIClient, user: Any, path: str) -> None:
    answer = anonymous.post(path, {"username": "operator", "password": PASSWORD})
    assert answer.status_code == 200
    anonymous.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['token']}")
    assert anonymous.get("/api/v1/devices").status_code == 200


@pytest.mark.parametrize(
    "body", [{"username": "operator", "password": "wrong"}, {"username": "nobody", "password": PASSWORD}]
)
def test_wrong_credentials_are_401(anonymous: APIClient, user: Any, body: dict[str, str]) -> None:
    answer = anonymous.post("/login", body)
    assert answer.status_code == 401
    assert answer.json()["error"]["status"] == 401


def test_a_missing_field_is_400(anonymous: APIClient) -> None:
    answer = anonymous.post("/login", {"username": "x"})
    assert answer.status_code == 400
    assert "password" in answer.json()["error"]["fields"]


def test_refresh_rotates_and_blacklists(anonymous: APIClient, user: Any) -> None:
    pair = anonymous.post("/api/v1/auth/token", {"username": "operator", "password": PASSWORD}).json()
    first = anonymous.post("/api/v1/auth/token/refresh", {"refresh": pair["refresh"]})
    assert first.status_code == 200
    again = anonymous.post("/api/v1/auth/token/refresh", {"refresh": pair["refresh"]})
    assert again.status_code == 401


def test_refresh_of_a_deleted_user_is_401(anonymous: APIClient, user: Any) -> None:
    pair = anonymous.post("/api/v1/auth/token", {"username": "operator", "password": PASSWORD}).json()
    user.delete()
    assert anonymous.post("/api/v1/auth/token/refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_verify_and_blacklist(anonymous: APIClient, user: Any) -> None:
    pair = anonymous.post("/api/v1/auth/token", {"username": "operator", "password": PASSWORD}).json()
    assert anonymous.post("/api/v1/auth/token/verify", {"token": pair["access"]}).status_code == 200
    assert anonymous.post("/api/v1/auth/token/blacklist", {"refresh": pair["refresh"]}).status_code == 200
    assert anonymous.post("/api/v1/auth/token/verify", {"token": pair["refresh"]}).status_code == 401
    assert anonymous.post("/api/v1/auth/token/refresh", {"refresh": pair["refresh"]}).status_code == 401


def test_a_broken_token_is_401(anonymous: APIClient) -> None:
    anonymous.credentials(HTTP_AUTHORIZATION="Bearer nonsense")
    assert anonymous.get("/api/v1/devices").status_code == 401


@pytest.mark.parametrize("name", ["schema", "docs", "redoc", "home"])
def test_pages_answer(admin_client: Any, name: str) -> None:
    assert admin_client.get(reverse(name), follow=True).status_code == 200


@pytest.mark.parametrize("path", ["/admin/login/", "/api-auth/login/"])
def test_a_login_page_by_itself_leads_to_the_dashboard(client: Client, admin_user: Any, path: str) -> None:
    admin_user.set_password(PASSWORD)
    admin_user.save()
    answer = client.post(path, {"username": admin_user.username, "password": PASSWORD}, follow=True)
    assert (answer.status_code, answer.redirect_chain) == (200, [("/admin/", 302)])


def test_the_browsable_api_answers(admin_client: Any) -> None:
    answer = admin_client.get("/api/v1/devices/", headers={"accept": "text/html"})
    assert answer.status_code == 200
    assert b"<html" in answer.content
