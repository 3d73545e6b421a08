"""Re-encrypts every stored secret under the newest key, or shows which keys are in use."""

from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from devices.crypto import key_ids, key_of, payload_rotate
from devices.errors import CredentialUnreadable
from devices.keys import keys_state
from devices.models import CredentialProfile
from devices.workers import workers_without

PROGRESS_EVERY = 500


class Command(BaseCommand):
    help = (
        "Re-encrypts every credential under the first key of NMS_ENCRYPTION_KEYS. Safe to run again, after "
        "an interruption too, and while the system works; afterwards the older keys can be removed."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--status", action="store_true", help="only show how many secrets are under which key"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not options["status"]:
            self._rotate_all()
        state = keys_state()
        for position, (key_id, count) in enumerate(state.counts.items(), start=1):
            what = (
                "the newest, which encrypts" if position == 1 else "can be removed" if not count else "in use"
            )
            self.stdout.write(f"key {position} ({key_id}): {count} secret(s); {what}")
        if state.unreadable:
            numbers = ", ".join(map(str, state.unreadable))
            raise CommandError(f"No configured key opens the credentials with these ids: {numbers}.")

    def _rotate_all(self) -> None:
        """What is under the newest key already is left alone: a second run goes on where the first ended."""
        newest = key_ids()[0]
        try:
            behind = workers_without(newest)
        except redis.RedisError as error:
            raise CommandError(
                f"Redis is unreachable, so the workers that run are not known: {error}"
            ) from None
        if behind:
            raise CommandError(
                f"These workers do not have the key {newest} yet, and could open nothing any more: "
                f"{', '.join(behind)}. Start them again with it first."
            )
        rows = CredentialProfile.objects.order_by("pk").values_list("pk", "encrypted_payload")
        old = [pk for pk, encrypted in rows.iterator() if key_of(encrypted) != newest]
        for number, pk in enumerate(old, start=1):
            _rotate(pk)
            if number % PROGRESS_EVERY == 0:
                self.stdout.write(f"{number} of {len(old)}")


@transaction.atomic
def _rotate(pk: int) -> None:
    """One row at a time under its lock, so that an update by a user at the same moment is not undone. What no
    key opens is left as it is.
    """
    profile = CredentialProfile.objects.select_for_update().filter(pk=pk).first()
    if profile is None:
        return
    try:
        profile.encrypted_payload = payload_rotate(profile.encrypted_payload)
    except CredentialUnreadable:
        return
    profile.save(update_fields=["encrypted_payload"])
