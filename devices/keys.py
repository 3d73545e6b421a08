"""Which key each stored secret is under, what is under none, and that no worker starts which lacks one."""

from collections import Counter
from dataclasses import dataclass, field

import redis
from django.conf import settings

from devices.crypto import key_ids, key_of
from devices.models import CredentialProfile
from nms_project.errors import Conflict
from nms_project.heartbeat import Worker, workers_list


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


def workers_without(key_id: str) -> list[str]:
    """The names of the living workers that do not have this key. Raises redis.RedisError."""
    return [worker.name for worker in _living() if key_id not in worker.beat.key_ids]


def others_have_more() -> bool:
    """A living worker has a key that this process lacks, or nobody knows."""
    try:
        return any(set(worker.beat.key_ids) - set(key_ids()) for worker in _living())
    except redis.RedisError:
        return True


def _living() -> list[Worker]:
    return [worker for worker in workers_list() if worker.is_alive]


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
