"""Encryption of credential payloads at rest: the only module that works with the keys.

NMS_ENCRYPTION_KEYS holds Fernet keys, newest first: the first encrypts, all decrypt. `manage.py
rotate_credentials` re-encrypts what older keys wrote.
"""

import hashlib
from functools import lru_cache
from typing import Any

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from devices.errors import CredentialUnreadable


@lru_cache(maxsize=16)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _current() -> MultiFernet:
    return _fernet(tuple(settings.NMS_ENCRYPTION_KEYS))


def payload_encrypt(payload: dict[str, Any]) -> str:
    return _current().encrypt(orjson.dumps(payload)).decode("ascii")


def payload_decrypt(encrypted: str) -> dict[str, Any]:
    """Raises CredentialUnreadable when no configured key opens it."""
    try:
        payload: dict[str, Any] = orjson.loads(_current().decrypt(encrypted.encode("ascii")))
    except (InvalidToken, UnicodeEncodeError, orjson.JSONDecodeError):
        raise CredentialUnreadable(
            "The stored secret cannot be decrypted with the keys in NMS_ENCRYPTION_KEYS. "
            "Add the key it was written with, or enter the secret again."
        ) from None
    return payload


def payload_check(encrypted: str) -> None:
    """Raises CredentialUnreadable when no configured key opens it; nothing of it comes out."""
    payload_decrypt(encrypted)


def payload_rotate(encrypted: str) -> str:
    """The same secret under the newest key. Raises CredentialUnreadable."""
    try:
        return _current().rotate(encrypted.encode("ascii")).decode("ascii")
    except (InvalidToken, UnicodeEncodeError):
        raise CredentialUnreadable("No configured key opens this secret.") from None


def key_ids() -> list[str]:
    """What a key is called where it must not be shown: the beginning of its digest. Newest first."""
    return [hashlib.sha256(key.encode()).hexdigest()[:8] for key in settings.NMS_ENCRYPTION_KEYS]


def key_of(encrypted: str) -> str | None:
    """The id of the key that opens it, None for none."""
    for key_id, key in zip(key_ids(), settings.NMS_ENCRYPTION_KEYS, strict=True):
        try:
            _fernet((key,)).decrypt(encrypted.encode("ascii"))
        except (InvalidToken, UnicodeEncodeError):
            continue
        return key_id
    return None
