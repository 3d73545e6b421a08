"""The admin's pages of users: nobody makes of anybody more than he is himself."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.test import Client, RequestFactory
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.roles import PERMISSIONS, Role

VIEWER_CODENAMES = [name.partition(".")[2] for name in PERMISSIONS[Role.VIEWER]]

pytestmark = pytest.mark.django_db


@pytest.fixture
def by_admin(client: Client, user: Any) -> Client:
    """Of the role admin, and no superuser."""
    user.is_staff = True
    user.save()
    client.force_login(user)
    return client


@pytest.fixture
def other() -> User:
    made = User.objects.create_user("other", password="the password of another one")
    made.groups.set([Group.objects.get(name="viewer")])
    return made


def more_than_admin() -> Permission:
    return Permission.objects.get(codename="change_group")


def change(client: Client, other: User, **fields: Any) -> str:
    sent = {
        "username": "other",
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
        **fields,
    }
    path = reverse("admin:auth_user_change", args=[other.pk])
    return client.post(path, sent, follow=True).content.decode()


def password(client: Client, other: User) -> int:
    new = "quite another pass phrase"
    path = reverse("admin:auth_user_password_change", args=[other.pk])
    sent = {"password1": new, "password2": new, "usable_password": "true"}
    return client.post(path, sent).status_code


def role(name: str) -> Group:
    return Group.objects.get(name=name)


def test_an_administrator_gives_roles_and_passwords(by_admin: Client, other: User) -> None:
    change(by_admin, other, role="admin")
    assert {group.name for group in other.groups.all()} == {"admin"}
    assert password(by_admin, other) == 302
    other.refresh_from_db()
    assert other.check_password("quite another pass phrase")


def test_a_role_that_may_more_is_not_his_to_give(by_admin: Client, other: User) -> None:
    owners = Group.objects.create(name="owners")
    owners.permissions.add(more_than_admin())
    page = change(by_admin, other, groups=[role("admin").pk, owners.pk])
    assert "Select a valid choice" in page
    assert [group.name for group in other.groups.all()] == ["viewer"]


@pytest.mark.parametrize("by", ["permission", "role", "superuser"])
def test_who_may_more_is_not_his_to_touch(by_admin: Client, other: User, by: str) -> None:
    if by == "permission":
        other.user_permissions.add(more_than_admin())
    elif by == "role":
        owners = Group.objects.create(name="owners")
        owners.permissions.add(more_than_admin())
        other.groups.add(owners)
    else:
        User.objects.filter(pk=other.pk).update(is_superuser=True)
    old = other.password
    assert password(by_admin, other) in (302, 403, 404)
    change(by_admin, other, username="renamed")
    by_admin.post(reverse("admin:auth_user_delete", args=[other.pk]), {"post": "yes"})
    other.refresh_from_db()
    assert (other.username, other.password) == ("other", old)


def test_a_superuser_may_all(admin_client: Client, other: User) -> None:
    owners = Group.objects.create(name="owners")
    owners.permissions.add(more_than_admin())
    change(admin_client, other, groups=[owners.pk])
    assert list(other.groups.all()) == [owners]
    assert password(admin_client, other) == 302


def test_a_user_gets_a_role_by_one_field(by_admin: Client) -> None:
    sent = {
        "username": "new",
        "usable_password": "true",
        "password1": "quite a long pass phrase",
        "password2": "quite a long pass phrase",
        "role": "operator",
        "is_staff": "on",
    }
    by_admin.post(reverse("admin:auth_user_add"), sent)
    made = User.objects.get(username="new")
    assert made.is_staff
    assert [group.name for group in made.groups.all()] == ["operator"]
    page = by_admin.get(reverse("admin:auth_user_change", args=[made.pk])).content.decode()
    assert '<option value="operator" selected' in page
    assert "operator" in by_admin.get(reverse("admin:auth_user_changelist")).content.decode()


def test_a_role_takes_the_place_of_others_and_leaves_other_groups(by_admin: Client, other: User) -> None:
    night = Group.objects.create(name="night shift")
    other.groups.set([role("viewer"), role("operator")])
    change(by_admin, other, role="viewer", groups=[night.pk])
    assert {group.name for group in other.groups.all()} == {"viewer", "night shift"}
    change(by_admin, other, role="", groups=[night.pk])
    assert {group.name for group in other.groups.all()} == {"night shift"}


def test_a_role_with_more_rights_is_not_offered(client: Client, other: User) -> None:
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.set(
        Permission.objects.filter(codename__in=["view_user", "change_user", *VIEWER_CODENAMES])
    )
    client.force_login(clerk)
    page = change(client, other, role="admin")
    assert "Select a valid choice" in page
    assert [group.name for group in other.groups.all()] == ["viewer"]


def test_the_roles_of_one_form_are_not_those_of_another(client: Client, admin_user: User) -> None:
    """Two threads may show forms at once."""
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.set(
        Permission.objects.filter(codename__in=["view_user", "change_user", *VIEWER_CODENAMES])
    )
    page = admin.site._registry[User]
    limited, all_roles = RequestFactory().get("/"), RequestFactory().get("/")
    limited.user, all_roles.user = clerk, admin_user
    form = page.get_form(limited, clerk, change=True)
    page.get_form(all_roles, clerk, change=True)
    assert [name for name, _ in form.base_fields["role"].choices] == ["", "viewer"]  # type: ignore[attr-defined]


def test_a_change_of_something_else_records_no_change_of_roles(by_admin: Client, other: User) -> None:
    last = AuditEntry.objects.latest("id").pk
    change(by_admin, other, role="viewer", email="other@example.org")
    new = AuditEntry.objects.filter(pk__gt=last)
    assert list(new.values_list("object_type", flat=True)) == ["user"]
    change(by_admin, other, role="operator", email="other@example.org")
    found = new.filter(object_type="role of a user").values_list("action", flat=True)
    assert sorted(found) == ["create", "delete"]
