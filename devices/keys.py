"""Which key each stored secret is under, what is under none, and that no worker starts which lacks one."""

from collections import Counter
from dataclasses import dataclass, field

from django.conf import settings

from devices.crypto import key_ids, key_of
from devices.models import CredentialProfile
from nms_project.errors import Conflict


@dataclass(slots=True)
class KeyState:
    """`counts`: how many secrets each configured key opens, newest first. `unreadable`: ids of profiles."""

    counts: dict[str, int] = field(default_factory=dict)
    unreadable: list[int] = field(default_factory=list)


def keys_state() -> KeyState:
    counts: Counter[str] = Counter()
    state = KeyState()
    for pk, encrypted in CredentialProfile.objects.values_list("pk", "encrypted_payload").iterator():
        key_id = key_of(encrypted)
        if key_id is None:
            state.unreadable.append(pk)
        else:
            counts[key_id] += 1
    state.counts = {key_id: counts[key_id] for key_id in key_ids()}
    return state


class SecretsUnreadable(Conflict):
    """A secret was stored under a key that this machine does not have."""

    code = "secrets_unreadable"


def secrets_check() -> None:
    """Raises SecretsUnreadable, so that a machine with the wrong keys does not take devices off the schedule
    one by one.
    """
    if settings.NMS_ALLOW_UNREADABLE_SECRETS:
        return
    unreadable = keys_state().unreadable
    if unreadable:
        shown = ", ".join(map(str, unreadable[:10])) + (" …" if len(unreadable) > 10 else "")
        raise SecretsUnreadable(
            f"{len(unreadable)} stored secret(s) are under a key that is not in NMS_ENCRYPTION_KEYS "
            f"(credential profiles {shown}). Add the key they were written with. If it is lost, set "
            "NMS_ALLOW_UNREADABLE_SECRETS=true and enter these secrets again."
        )
