"""Changes of many devices, each by the service for one, in a transaction of its own: whatever ends the work
in the middle, each device is as it was or as it was wanted, and the same call again does the rest.
"""

from collections.abc import Callable, Iterable

from django.db import models

from devices import services
from devices.models import CredentialProfile, Device

MAX_DEVICES = 1_000  # in one call: some seconds of work


class Outcome(models.TextChoices):
    PROVISIONED = "provisioned", "provisioned"
    DEACTIVATED = "deactivated", "deactivated"
    CHANGED = "changed", "changed"
    UNCHANGED = "unchanged", "unchanged: it was so already"
    DELETED = "deleted", "deleted"
    FORGOTTEN = "forgotten", "forgotten: learned anew with the next poll"
    ACKNOWLEDGED = "acknowledged", "acknowledged"
    UNACKNOWLEDGED = "unacknowledged", "not acknowledged any more"
    OTHER_PROTOCOL = "other_protocol", "unchanged: the credential profile is for another protocol"
    NOT_FOUND = "not_found", "not found"


def devices_provision(device_ids: Iterable[int], *, interval_seconds: int | None) -> dict[int, Outcome]:
    def one(device_id: int) -> Outcome:
        done = services.device_provision(device_id=device_id, interval_seconds=interval_seconds)
        return Outcome.PROVISIONED if done else Outcome.NOT_FOUND

    return _each(device_ids, one)


def devices_deactivate(device_ids: Iterable[int], *, reason: str) -> dict[int, Outcome]:
    """Those that are active or have failed. The others keep their status and its reason."""

    def one(device_id: int) -> Outcome:
        if services.device_deactivate(device_id=device_id, reason=reason):
            return Outcome.DEACTIVATED
        return _unchanged(device_id)

    return _each(device_ids, one)


def devices_set_interval(device_ids: Iterable[int], *, interval_seconds: int) -> dict[int, Outcome]:
    def one(device_id: int) -> Outcome:
        device = Device.objects.filter(pk=device_id).first()
        if device is None:
            return Outcome.NOT_FOUND
        if device.polling_interval_seconds == interval_seconds:
            return Outcome.UNCHANGED
        try:
            services.device_update(device, polling_interval_seconds=interval_seconds)
        except Device.DoesNotExist:  # deleted meanwhile
            return Outcome.NOT_FOUND
        return Outcome.CHANGED

    return _each(device_ids, one)


def devices_set_credential(device_ids: Iterable[int], *, profile: CredentialProfile) -> dict[int, Outcome]:
    """Those of the profile's protocol; they log in with it from their next poll on."""

    def one(device_id: int) -> Outcome:
        device = Device.objects.filter(pk=device_id).first()
        if device is None:
            return Outcome.NOT_FOUND
        if device.plugin_id != profile.protocol:
            return Outcome.OTHER_PROTOCOL
        if device.credential_profile_id == profile.pk:
            return Outcome.UNCHANGED
        try:
            services.device_update(device, credential_profile=profile)
        except Device.DoesNotExist:  # deleted since it was read
            return Outcome.NOT_FOUND
        return Outcome.CHANGED

    return _each(device_ids, one)


def devices_forget(device_ids: Iterable[int]) -> dict[int, Outcome]:
    """What was learned of them, such as the host key."""

    def one(device_id: int) -> Outcome:
        return Outcome.FORGOTTEN if services.device_forget(device_id=device_id) else Outcome.NOT_FOUND

    return _each(device_ids, one)


def devices_acknowledge(device_ids: Iterable[int], *, by: str) -> dict[int, Outcome]:
    """Those that failed; see services.device_acknowledge."""

    def one(device_id: int) -> Outcome:
        if services.device_acknowledge(device_id=device_id, by=by):
            return Outcome.ACKNOWLEDGED
        return _unchanged(device_id)

    return _each(device_ids, one)


def devices_unacknowledge(device_ids: Iterable[int]) -> dict[int, Outcome]:
    def one(device_id: int) -> Outcome:
        if services.device_unacknowledge(device_id=device_id):
            return Outcome.UNACKNOWLEDGED
        return _unchanged(device_id)

    return _each(device_ids, one)


def devices_delete(device_ids: Iterable[int]) -> dict[int, Outcome]:
    def one(device_id: int) -> Outcome:
        return Outcome.DELETED if services.device_delete(device_id=device_id) else Outcome.NOT_FOUND

    return _each(device_ids, one)


def _unchanged(device_id: int) -> Outcome:
    return Outcome.UNCHANGED if Device.objects.filter(pk=device_id).exists() else Outcome.NOT_FOUND


def _each(device_ids: Iterable[int], one: Callable[[int], Outcome]) -> dict[int, Outcome]:
    """In the order given, each once."""
    return {device_id: one(device_id) for device_id in dict.fromkeys(device_ids)}
