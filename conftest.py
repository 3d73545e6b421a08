"""Fixtures for all tests: an empty Redis, API clients, and objects that nearly every test needs."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection
from django.test import override_settings
from rest_framework.test import APIClient

from devices.crypto import payload_encrypt
from devices.models import CredentialProfile, Device, DeviceStatus
from devices.services import device_create
from metrics.partitions import partitioned
from nms_project.redis_client import redis_client


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first: a worker that takes one up last would keep everybody waiting."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True, scope="session")
def _cheap_passwords() -> Iterator[None]:
    with override_settings(PASSWORD_HASHERS=["nms_project.tests.passwords.CheapArgon2"]):
        yield


@pytest.fixture(autouse=True)
def _empty_redis() -> Iterator[None]:
    yield
    redis_client().flushdb()


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """Real commits, for what depends on them: now() moves, temporary tables go, others see the rows."""
    yield
    with connection.cursor() as cursor:
        # Django empties the tables it manages; the partitioned ones it does not.
        cursor.execute(f"TRUNCATE {', '.join(partitioned())}")


@pytest.fixture
def user(db: None) -> Any:
    """An administrator by role."""
    user = get_user_model().objects.create_user("operator", password="a long enough password")
    user.groups.add(Group.objects.get(name="admin"))
    return user


@pytest.fixture
def api(user: Any) -> APIClient:
    """Logged in; JSON in and out."""
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def anonymous() -> APIClient:
    return APIClient()


@pytest.fixture
def winrm_credential(db: None) -> CredentialProfile:
    return CredentialProfile.objects.create(
        name="Windows",
        protocol="winrm",
        encrypted_payload=payload_encrypt({"username": "monitor", "password": "s3cret-of-winrm"}),
    )


@pytest.fixture
def icmp_credential(db: None) -> CredentialProfile:
    return CredentialProfile.objects.create(
        name="Ping", protocol="icmp", encrypted_payload=payload_encrypt({})
    )


@pytest.fixture
def device(winrm_credential: CredentialProfile) -> Device:
    """An active WinRM device, due now."""
    return device_create(
        hostname="win-1",
        ip_address="127.20.0.1",
        plugin_id="winrm",
        port=5985,
        credential_profile=winrm_credential,
        status=DeviceStatus.ACTIVE,
    )


@pytest.fixture
def ping_device(icmp_credential: CredentialProfile) -> Device:
    return device_create(
        hostname="127.21.0.1",
        ip_address="127.21.0.1",
        plugin_id="icmp",
        port=0,
        credential_profile=icmp_credential,
        status=DeviceStatus.ACTIVE,
    )
