"""Re-encrypts every stored secret under the newest key."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from devices.crypto import payload_rotate
from devices.errors import CredentialUnreadable
from devices.models import CredentialProfile


class Command(BaseCommand):
    help = (
        "Re-encrypts every credential under the first key of NMS_ENCRYPTION_KEYS. Safe to run again and "
        "while the system works; afterwards the older keys can be removed."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable = [pk for pk in CredentialProfile.objects.values_list("pk", flat=True) if not _rotate(pk)]
        total = CredentialProfile.objects.count()
        self.stdout.write(f"{total - len(unreadable)} of {total} credentials are under the newest key.")
        if unreadable:
            numbers = ", ".join(map(str, unreadable))
            raise CommandError(f"No configured key opens the credentials with these ids: {numbers}.")


@transaction.atomic
def _rotate(pk: int) -> bool:
    """One row at a time under its lock, so that an update by a user at the same moment is not undone."""
    profile = CredentialProfile.objects.select_for_update().filter(pk=pk).first()
    if profile is None:
        return True
    try:
        profile.encrypted_payload = payload_rotate(profile.encrypted_payload)
    except CredentialUnreadable:
        return False
    profile.save(update_fields=["encrypted_payload"])
    return True
