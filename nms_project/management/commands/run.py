"""Runs everything in one terminal, with embedded servers where none are given."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from nms_project.stack.errors import StackError
from nms_project.stack.processes import manage, process_manager, servers


class Command(BaseCommand):
    help = (
        "Starts PostgreSQL and Redis where none are given, then web, beat and the workers. Ctrl-C stops all."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with servers() as environment:
                manage("prepare", environment=environment)
                manager = process_manager(environment, sys.stdout)
                self.stdout.write(
                    f"http://{settings.NMS_BIND}:{settings.NMS_PORT}/  (Ctrl-C stops everything)"
                )
                manager.loop()
        except StackError as error:
            raise CommandError(str(error)) from None
        if manager.returncode:
            sys.exit(manager.returncode)
