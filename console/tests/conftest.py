"""People of the admin."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.roles import Role


@pytest.fixture
def viewer(client: Client, django_user_model: Any) -> Client:
    user = django_user_model.objects.create_user("eve", is_staff=True)
    user.groups.add(Group.objects.get(name=Role.VIEWER))
    client.force_login(user)
    return client
