"""Credential encryption: several keys, rotation, and secrets no key opens."""

from io import StringIO
from typing import Any

import pytest
from celery.signals import worker_init
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from devices.crypto import key_ids, payload_decrypt, payload_encrypt, payload_rotate
from devices.errors import CredentialUnreadable
from devices.keys import keys_state
from devices.models import CredentialProfile
from nms_project.heartbeat import Beat, beat_write

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
SECRET = {"password": "пароль-☃"}


def test_what_goes_in_comes_out() -> None:
    assert payload_decrypt(payload_encrypt(SECRET)) == SECRET


def test_the_newest_encrypts_and_all_decrypt(settings: Any) -> None:
    settings.NMS_ENCRYPTION_KEYS = [OLD]
    old = payload_encrypt(SECRET)
    settings.NMS_ENCRYPTION_KEYS = [NEW, OLD]
    assert payload_decrypt(old) == SECRET
    rotated = payload_rotate(old)
    settings.NMS_ENCRYPTION_KEYS = [NEW]
    assert payload_decrypt(rotated) == SECRET
    with pytest.raises(CredentialUnreadable, match="NMS_ENCRYPTION_KEYS"):
        payload_decrypt(old)


@pytest.mark.parametrize("text", ["", "nonsense", "gAAAAA", "é"])
def test_damaged_text_is_unreadable(text: str) -> None:
    with pytest.raises(CredentialUnreadable):
        payload_decrypt(text)


@pytest.mark.django_db
def test_rotate_credentials(winrm_credential: CredentialProfile, settings: Any) -> None:
    settings.NMS_ENCRYPTION_KEYS = [NEW, *settings.NMS_ENCRYPTION_KEYS]
    out = StringIO()
    call_command("rotate_credentials", stdout=out)
    assert "): 1 secret(s); the newest" in out.getvalue()
    assert "): 0 secret(s); can be removed" in out.getvalue()
    settings.NMS_ENCRYPTION_KEYS = [NEW]
    winrm_credential.refresh_from_db()
    assert payload_decrypt(winrm_credential.encrypted_payload)["password"] == "s3cret-of-winrm"


class CeleryWorker:
    key_ids: list[str]
    plugin_ids: list[str]


def beat(name: str, *ids: str) -> None:
    beat_write(name, Beat("host", 1, ["poll.0"], 1, busy=0, done=0, load=0.0, memory_bytes=0, key_ids=[*ids]))


@pytest.mark.django_db
def test_nothing_is_rotated_to_a_key_that_a_worker_lacks(
    winrm_credential: CredentialProfile, settings: Any
) -> None:
    old = key_ids()
    settings.NMS_ENCRYPTION_KEYS = [NEW, *settings.NMS_ENCRYPTION_KEYS]
    beat("ready", *key_ids())
    beat("behind", *old)
    with pytest.raises(CommandError, match="do not have the key .* yet.*: behind"):
        call_command("rotate_credentials", stdout=StringIO())
    assert keys_state().counts == {key_ids()[0]: 0, old[0]: 1}
    beat("behind", *key_ids())
    call_command("rotate_credentials", stdout=StringIO())
    assert keys_state().counts == {key_ids()[0]: 1, old[0]: 0}
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    with pytest.raises(CommandError, match="Redis is unreachable"):
        call_command("rotate_credentials", stdout=StringIO())


@pytest.mark.django_db
def test_a_worker_tells_its_keys_and_plugins() -> None:
    worker = CeleryWorker()
    worker_init.send(sender=worker)
    assert worker.key_ids == key_ids()
    assert "winrm" in worker.plugin_ids


@pytest.mark.django_db
def test_rotation_names_what_it_cannot_open(winrm_credential: CredentialProfile, settings: Any) -> None:
    settings.NMS_ENCRYPTION_KEYS = [NEW]
    with pytest.raises(CommandError, match=str(winrm_credential.pk)):
        call_command("rotate_credentials", stdout=StringIO())


@pytest.mark.django_db
def test_the_status_changes_nothing(winrm_credential: CredentialProfile, settings: Any) -> None:
    settings.NMS_ENCRYPTION_KEYS = [NEW, *settings.NMS_ENCRYPTION_KEYS]
    out = StringIO()
    call_command("rotate_credentials", "--status", stdout=out)
    assert "key 1" in out.getvalue().splitlines()[0]
    assert "0 secret(s); the newest" in out.getvalue()
    assert "1 secret(s); in use" in out.getvalue()
    assert not any(key in out.getvalue() for key in settings.NMS_ENCRYPTION_KEYS)
    before = winrm_credential.encrypted_payload
    winrm_credential.refresh_from_db()
    assert winrm_credential.encrypted_payload == before


@pytest.mark.django_db
def test_an_interrupted_rotation_goes_on(winrm_credential: CredentialProfile, settings: Any) -> None:
    settings.NMS_ENCRYPTION_KEYS = [NEW, *settings.NMS_ENCRYPTION_KEYS]
    call_command("rotate_credentials", stdout=StringIO())
    winrm_credential.refresh_from_db()
    done = winrm_credential.encrypted_payload
    late = CredentialProfile.objects.create(name="b", protocol="icmp", encrypted_payload="nonsense")
    with pytest.raises(CommandError, match=str(late.pk)):
        call_command("rotate_credentials", stdout=StringIO())
    winrm_credential.refresh_from_db()
    assert winrm_credential.encrypted_payload == done


@pytest.mark.django_db
def test_a_worker_without_the_key_does_not_start(winrm_credential: CredentialProfile, settings: Any) -> None:
    worker_init.send(sender=CeleryWorker())
    settings.NMS_ENCRYPTION_KEYS = [NEW]
    with pytest.raises(SystemExit, match="NMS_ALLOW_UNREADABLE_SECRETS"):
        worker_init.send(sender=CeleryWorker())
    settings.NMS_ALLOW_UNREADABLE_SECRETS = True
    worker_init.send(sender=CeleryWorker())
