"""Fixtures of the polling tests: slots in the database, and plugins written for one test."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from devices.models import CredentialProfile, Device, DeviceStatus
from devices.services import device_create
from plugins.registry import Plugin
from polling.models import Verdict

PluginMaker = Callable[..., Plugin]


@pytest.fixture
def make_plugin(tmp_path: Path) -> PluginMaker:
    """Builds a plugin from the source of its executable."""

    def make(source: str, *, modes: tuple[str, ...] = ("batch", "stream")) -> Plugin:
        executable = tmp_path / "plugin"
        executable.write_text(source)
        executable.chmod(0o755)
        return Plugin(
            id="made",
            name="made for a test",
            version="1",
            default_port=1,
            credential_schema={},
            modes=frozenset(modes),
            executable=executable,
        )

    return make


def verdict_kinds(device_id: int) -> list[str]:
    return list(Verdict.objects.filter(device_id=device_id).order_by("due_at").values_list("kind", flat=True))


def shift_state(device_id: int, *, seconds: float) -> None:
    """Moves everything the scheduler knows of a device by `seconds`: time that passes, or a clock that
    jumps.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE devices_pollstate SET next_poll_at = next_poll_at + make_interval(secs => %(by)s), "
            "last_due_at = last_due_at + make_interval(secs => %(by)s), "
            "lease_due_at = lease_due_at + make_interval(secs => %(by)s), "
            "leased_until = leased_until + make_interval(secs => %(by)s) WHERE device_id = %(device)s",
            {"by": seconds, "device": device_id},
        )


def winrm_device(credential: CredentialProfile, last: int) -> Device:
    """One more active device, at 127.20.1.`last`."""
    return device_create(
        hostname=f"win-{last}",
        ip_address=f"127.20.1.{last}",
        plugin_id="winrm",
        port=5985,
        credential_profile=credential,
        status=DeviceStatus.ACTIVE,
    )
