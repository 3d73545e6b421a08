"""Personal API tokens: shown once, stored as digests, bound to user, scope and time."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import ApiToken
from accounts.tokens import MAX_TOKENS, token_find, token_make, token_revoke

pytestmark = pytest.mark.django_db
URL = "/api/v1/auth/tokens"


def bearer(text: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def test_nobody_has_more_valid_ones_than_he_may(api: APIClient, user: Any) -> None:
    tomorrow, past = timezone.now() + timedelta(days=1), timezone.now()
    for number in range(MAX_TOKENS):
        ApiToken.objects.create(user=user, name="t", scope="viewer", expires_at=tomorrow, digest=f"{number}")
    ApiToken.objects.create(user=user, name="t", scope="viewer", expires_at=past, digest="expired")
    answer = api.post(URL, {"name": "one more", "scope": "viewer"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "You have 100 valid tokens already. Revoke one first."
    token_revoke(ApiToken.objects.filter(expires_at=tomorrow)[0])
    assert api.post(URL, {"name": "one more", "scope": "viewer"}).status_code == 201


def test_a_token_is_shown_once_and_works(api: APIClient, user: Any) -> None:
    answer = api.post(URL, {"name": "export script", "scope": "operator"})
    assert answer.status_code == 201
    text = answer.json()["token"]
    assert text.startswith("nms_")
    left = datetime.fromisoformat(answer.json()["expires_at"]) - timezone.now()
    assert timedelta(days=89) < left <= timedelta(days=90)
    assert bearer(text).get("/api/v1/devices").status_code == 200
    (row,) = api.get(URL).json()["results"]
    assert "token" not in row
    assert row["last_used_at"] is not None
    assert text not in str(ApiToken.objects.values())


def test_a_revoked_or_expired_token_and_one_of_a_disabled_user_are_refused(api: APIClient, user: Any) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    row, text = token_make(user=user, name="a", scope="viewer", expires_at=tomorrow)
    assert api.delete(f"{URL}/{row.pk}").status_code == 204
    answer = bearer(text).get("/api/v1/devices")
    assert answer.status_code == 401
    assert "revoked" in answer.json()["error"]["message"]
    _, expired = token_make(user=user, name="b", scope="viewer", expires_at=timezone.now())
    assert token_find(expired) is None
    _, fine = token_make(user=user, name="c", scope="viewer", expires_at=tomorrow)
    user.is_active = False
    user.save()
    assert token_find(fine) is None


def test_revoking_twice_keeps_the_first_time(user: Any) -> None:
    row, _ = token_make(user=user, name="a", scope="viewer", expires_at=timezone.now())
    token_revoke(row)
    row.refresh_from_db()
    first = row.revoked_at
    token_revoke(row)
    row.refresh_from_db()
    assert row.revoked_at == first


def test_others_tokens_are_not_there(api: APIClient, django_user_model: Any) -> None:
    other = django_user_model.objects.create_user("other")
    row, _ = token_make(user=other, name="a", scope="viewer", expires_at=timezone.now())
    assert api.get(URL).json()["count"] == 0
    assert api.delete(f"{URL}/{row.pk}").status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "x", "scope": "root"}, "scope"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "9000-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x" * 129}, "name"),
    ],
)
def test_bad_tokens_are_named(api: APIClient, body: dict[str, str], field: str) -> None:
    answer = api.post(URL, body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["fields"]


def test_who_one_is(api: APIClient, user: Any) -> None:
    me = api.get("/api/v1/auth/me").json()
    assert (me["username"], me["roles"], me["scope"]) == ("operator", ["admin"], None)
    assert "devices.change_credentialprofile" in me["permissions"]
    _, text = token_make(user=user, name="a", scope="viewer", expires_at=timezone.now() + timedelta(days=1))
    me = bearer(text).get("/api/v1/auth/me").json()
    assert me["scope"] == "viewer"
    assert "devices.view_device" in me["permissions"]
    assert "devices.change_device" not in me["permissions"]


def test_without_the_permission_one_is_told_which(anonymous: APIClient, django_user_model: Any) -> None:
    anonymous.force_authenticate(django_user_model.objects.create_user("nobody"))
    answer = anonymous.get("/api/v1/devices")
    assert answer.status_code == 403
    assert "devices.view_device" in answer.json()["error"]["message"]
