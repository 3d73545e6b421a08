"""Makes the daily partitions ahead, as the periodic task does."""

from typing import Any

from django.core.management.base import BaseCommand

from devices.services import database_now
from metrics.partitions import partitions_prepare


class Command(BaseCommand):
    help = "Makes the partitions of the next days."

    def handle(self, *args: Any, **options: Any) -> None:
        for name in partitions_prepare(database_now()):
            if options["verbosity"] > 1:
                self.stdout.write(name)
