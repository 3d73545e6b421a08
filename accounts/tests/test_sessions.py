"""What ends a session, and what does not."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

from accounts.models import RotatedToken
from accounts.sessions import sessions_prune

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough password"
REFRESH = "/api/v1/auth/token/refresh"


def login(client: APIClient) -> dict[str, str]:
    pair: dict[str, str] = client.post(
        "/api/v1/auth/token", {"username": "operator", "password": PASSWORD}
    ).json()
    return pair


def works(access: str) -> bool:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {access}")
    return bool(client.get("/api/v1/devices").status_code == 200)


@pytest.mark.parametrize("path", ["/login", "/api/v1/auth/token"])
def test_blanks_are_part_of_a_password(anonymous: APIClient, user: Any, path: str) -> None:
    user.set_password(f" {PASSWORD} ")
    user.save()
    answers = [
        anonymous.post(path, {"username": "operator", "password": sent}).status_code
        for sent in (f" {PASSWORD} ", PASSWORD)
    ]
    assert answers == [200, 401]


def test_logging_out_everywhere(anonymous: APIClient, api: APIClient, user: Any, client: Client) -> None:
    pairs = [login(anonymous), login(anonymous)]
    client.force_login(user)
    assert all(works(pair["access"]) for pair in pairs)
    assert api.post("/api/v1/auth/logout_everywhere").status_code == 204
    assert not any(works(pair["access"]) for pair in pairs)
    verify = "/api/v1/auth/token/verify"
    assert {
        anonymous.post(verify, {"token": text}).status_code for pair in pairs for text in pair.values()
    } == {401}
    assert [anonymous.post(REFRESH, {"refresh": pair["refresh"]}).status_code for pair in pairs] == [401, 401]
    assert client.get("/api/v1/auth/me").status_code == 401
    assert works(login(anonymous)["access"])


def test_a_changed_password_ends_all_sessions(anonymous: APIClient, user: Any) -> None:
    pair = login(anonymous)
    user.set_password("another long password")
    user.save()
    assert not works(pair["access"])
    assert anonymous.post(REFRESH, {"refresh": pair["refresh"]}).status_code == 401


def test_a_refresh_token_that_comes_back_ends_all_sessions(anonymous: APIClient, user: Any) -> None:
    stolen, other = login(anonymous), login(anonymous)
    fresh = anonymous.post(REFRESH, {"refresh": stolen["refresh"]}).json()
    assert works(fresh["access"])
    # At once, it may be a second tab of the same browser: refused, and nothing more.
    assert anonymous.post(REFRESH, {"refresh": stolen["refresh"]}).status_code == 401
    assert works(fresh["access"])
    RotatedToken.objects.update(at=timezone.now() - timedelta(minutes=1))
    answer = anonymous.post(REFRESH, {"refresh": stolen["refresh"]})
    assert answer.status_code == 401
    assert "used before" in answer.json()["error"]["message"]
    assert not works(fresh["access"])
    assert not works(other["access"])


def test_a_token_that_was_logged_out_ends_nothing_else(anonymous: APIClient, user: Any) -> None:
    """A second tab does not know that the first has logged out."""
    gone, other = login(anonymous), login(anonymous)
    assert anonymous.post("/api/v1/auth/token/blacklist", {"refresh": gone["refresh"]}).status_code == 200
    BlacklistedToken.objects.update(blacklisted_at=timezone.now() - timedelta(minutes=1))
    assert anonymous.post(REFRESH, {"refresh": gone["refresh"]}).status_code == 401
    assert works(other["access"])


@pytest.mark.parametrize("kind", ["access", "nonsense"])
def test_what_is_no_refresh_token_refreshes_nothing(anonymous: APIClient, user: Any, kind: str) -> None:
    text = login(anonymous)["access"] if kind == "access" else "a.b.c"
    assert anonymous.post(REFRESH, {"refresh": text}).status_code == 401


@pytest.mark.usefixtures("committed")
def test_of_two_refreshes_at_once_one_wins(anonymous: APIClient, user: Any) -> None:
    refresh = login(anonymous)["refresh"]
    found: list[int] = []
    barrier = threading.Barrier(4)

    def use() -> None:
        barrier.wait()
        found.append(APIClient().post(REFRESH, {"refresh": refresh}).status_code)
        connection.close()

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200, 401, 401, 401]


def test_what_has_expired_is_forgotten(anonymous: APIClient, user: Any) -> None:
    login(anonymous)
    old = login(anonymous)
    anonymous.post(REFRESH, {"refresh": old["refresh"]})
    expired = OutstandingToken.objects.filter(blacklistedtoken__isnull=False)
    OutstandingToken.objects.filter(pk__in=list(expired.values_list("pk", flat=True))).update(
        expires_at=timezone.now()
    )
    assert sessions_prune() > 0
    assert OutstandingToken.objects.count() == 2
    assert BlacklistedToken.objects.count() == 0
