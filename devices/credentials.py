"""Rules of credential payloads: accepted forms, validation by the plugin, and when the stored secret
stays.
"""

from typing import Any

import orjson
from django.db import transaction

from devices.crypto import payload_decrypt, payload_encrypt
from devices.errors import CredentialUnreadable
from devices.models import CredentialProfile
from devices.plugins import plugin_find, plugin_ids
from devices.services import row_locked, row_write
from nms_project.errors import Conflict, InvalidInput

HIDDEN = "[HIDDEN]"


def payload_parse(value: Any) -> dict[str, Any] | None:
    """The object that was sent, also as a string holding one; None where the stored secret is to stay."""
    if value is None or value in ("", HIDDEN):
        return None
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            raise InvalidInput({"payload": ["Must be a JSON object, or a string that holds one."]}) from None
    if not isinstance(value, dict):
        raise InvalidInput({"payload": ["Must be a JSON object, or a string that holds one."]})
    try:
        orjson.dumps(value)
    except TypeError:  # orjson's encoding error: half a surrogate pair, a number beyond 64 bits
        raise InvalidInput({"payload": ["Holds text or numbers that cannot be stored."]}) from None
    return value


def protocol_check(protocol: str) -> None:
    if plugin_find(protocol) is None:
        known = ", ".join(plugin_ids())
        raise InvalidInput({"protocol": [f"There is no plugin {protocol!r}. The known ones are: {known}."]})


def payload_encrypted_for(profile: CredentialProfile | None, protocol: str, sent: Any) -> str | None:
    """What to store for `sent` in `profile` (None for a new one) under `protocol`; None keeps what is stored.

    Raises InvalidInput.
    """
    protocol_check(protocol)
    payload = payload_parse(sent)
    if payload is not None:
        _validate(protocol, payload, "payload")
        return payload_encrypt(payload)
    if profile is None:
        if protocol == "icmp":  # it has no secret to send
            return payload_encrypt({})
        raise InvalidInput({"payload": ["A new credential needs its payload."]})
    if protocol != profile.protocol:
        _validate_stored(profile, protocol)
    return None


def protocol_change_check(profile: CredentialProfile, protocol: str) -> None:
    """A credential in use keeps its protocol: its devices and discovery profiles speak it. Raises
    InvalidInput.
    """
    if protocol == profile.protocol:
        return
    if profile.devices.exists() or profile.discovery_profiles.exists() or profile.fallbacks.exists():
        raise InvalidInput(
            {"protocol": ["Cannot change while devices or discovery profiles use this credential."]}
        )


@transaction.atomic
def credential_update(profile: CredentialProfile, **fields: Any) -> CredentialProfile:
    """Saves the given fields only; `profile` is as it was when they were checked.

    Raises InvalidInput for another protocol of one in use, which is judged under its lock:
    services.protocols_require is what waits for it. Raises Conflict where protocol and payload would be of
    two requests that do not fit.
    """
    current = row_locked(profile)
    protocol = fields.get("protocol", current.protocol)
    protocol_change_check(current, protocol)
    if "encrypted_payload" in fields:
        fits = protocol == fields.get("protocol", profile.protocol)
    else:
        fits = protocol == current.protocol or current.encrypted_payload == profile.encrypted_payload
    if not fits:
        raise Conflict("The credential's protocol or payload was changed meanwhile. Try again.")
    row_write(current, **fields)
    return current


def _validate(protocol: str, payload: dict[str, Any], field: str) -> None:
    plugin = plugin_find(protocol)
    errors = plugin.credential_errors(payload) if plugin else []
    if errors:
        raise InvalidInput({field: errors})


def _validate_stored(profile: CredentialProfile, protocol: str) -> None:
    try:
        _validate(protocol, payload_decrypt(profile.encrypted_payload), "protocol")
    except CredentialUnreadable as error:
        raise InvalidInput({"payload": [str(error)]}) from None
