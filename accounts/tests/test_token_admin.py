"""API tokens in the admin: made for oneself, shown once, revoked."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiToken
from accounts.tokens import token_find, token_make

pytestmark = pytest.mark.django_db
LIST = "/admin/accounts/apitoken/"


@pytest.fixture
def staff(client: Client) -> Client:
    user = User.objects.create_user("staff", is_staff=True)
    user.groups.add(Group.objects.get(name="viewer"))
    client.force_login(user)
    return client


def make(client: Client, **fields: str) -> Any:
    end = timezone.now() + timedelta(days=30)
    sent = {
        "name": "script",
        "scope": "viewer",
        "expires_at_0": f"{end:%Y-%m-%d}",
        "expires_at_1": "12:00:00",
        **fields,
    }
    return client.post(f"{LIST}add/", sent)


def test_a_token_is_shown_once(staff: Client) -> None:
    answer = make(staff)
    assert answer.status_code == 200
    text = answer.content.decode().split('<code id="token" class="nms-token">')[1].split("<")[0]
    assert "no-store" in answer["Cache-Control"]
    found = token_find(text)
    assert found is not None
    assert (found.name, found.scope, found.user.get_username()) == ("script", "viewer", "staff")
    for page in (LIST, f"{LIST}{found.pk}/change/", f"{LIST}{found.pk}/history/"):
        shown = staff.get(page)
        assert shown.status_code == 200
        assert text not in shown.content.decode()
        assert ApiToken.objects.get().digest not in shown.content.decode()
    assert text not in str(staff.cookies)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"expires_at_0": "2020-01-01"}, "Must lie within the next 366 days."),
        ({"expires_at_0": "2999-01-01"}, "Must lie within the next 366 days."),
        ({"scope": "owner"}, "Select a valid choice"),
        ({"name": ""}, "This field is required."),
    ],
)
def test_a_token_that_cannot_be_says_why(staff: Client, fields: dict[str, str], words: str) -> None:
    assert words in make(staff, **fields).content.decode()
    assert not ApiToken.objects.exists()


def test_users_see_and_revoke_their_own_tokens(staff: Client, admin_client: Client) -> None:
    other = User.objects.create_user("other")
    theirs, _ = token_make(
        user=other, name="theirs", scope="viewer", expires_at=timezone.now() + timedelta(days=1)
    )
    make(staff)
    own = ApiToken.objects.get(name="script")
    assert [token.name for token in staff.get(LIST).context["cl"].result_list] == ["script"]
    for token in (own, theirs):
        staff.post(LIST, {"action": "revoke", "_selected_action": [token.pk]})
    own.refresh_from_db()
    theirs.refresh_from_db()
    assert own.revoked_at is not None
    assert theirs.revoked_at is None
    assert staff.get(f"{LIST}{theirs.pk}/change/").status_code == 302
    assert len(admin_client.get(LIST).context["cl"].result_list) == 2
    assert staff.post(f"{LIST}{own.pk}/change/", {"name": "renamed"}).status_code == 403


def test_who_is_no_staff_makes_none(client: Client) -> None:
    client.force_login(User.objects.create_user("program"))
    assert client.get(reverse("admin:accounts_apitoken_add")).status_code == 302
