"""Fixtures for all tests: an empty Redis, API clients, and objects that nearly every test needs."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.db import connection
from django.test import TransactionTestCase, override_settings
from rest_framework.test import APIClient

from devices.crypto import payload_encrypt
from devices.models import CredentialProfile, Device, DeviceStatus
from devices.services import device_create
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


# Truncating is for what is large: it makes each table's files anew. Neither foreign keys nor the audit's
# triggers ask for anything meanwhile. What migrations put there stays.
EMPTY = """
DO $$
DECLARE
    name regclass;
BEGIN
    PERFORM set_config('session_replication_role', 'replica', true);
    FOR name IN
        SELECT oid FROM pg_class
        WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND pg_relation_size(oid) > 0
          AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission', 'auth_group',
                              'auth_group_permissions')
    LOOP
        IF pg_relation_size(name) > 256 * 1024 THEN
            EXECUTE format('TRUNCATE %s CASCADE', name);
        ELSE
            EXECUTE format('DELETE FROM %s', name);
        END IF;
    END LOOP;
END $$
"""


@pytest.fixture(autouse=True, scope="session")
def _quick_flush() -> Iterator[None]:
    """After a test that commits, Django truncates all tables that it knows of and makes all permissions anew,
    which takes longer than most tests.
    """

    def empty(case: TransactionTestCase) -> None:
        with connection.cursor() as cursor:
            cursor.execute(EMPTY)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
        yield


@pytest.fixture
def committed(transactional_db: None) -> None:
    """Real commits, for what depends on them: now() moves, temporary tables go, others see the rows."""


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
