"""People of the admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.test import Client

from accounts.roles import Role


@pytest.fixture
def viewer(client: Client, django_user_model: Any) -> Client:
    user = django_user_model.objects.create_user("eve", is_staff=True)
    user.groups.add(Group.objects.get(name=Role.VIEWER))
    client.force_login(user)
    return client


@pytest.fixture
def narrow(client: Client, django_user_model: Any) -> Client:
    """May see devices and discovery profiles, but not what came of their polls and runs."""
    user = django_user_model.objects.create_user("nell", is_staff=True)
    names = ("view_device", "view_discoveryprofile")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(user)
    return client
