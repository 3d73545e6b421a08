"""Runs everything in one terminal, with embedded servers where none are given."""

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from nms_project.stack.errors import StackError
from nms_project.stack.processes import manage, process_manager, servers
from nms_project.stack.signals import end_on_eof, end_on_signals


class Command(BaseCommand):
    help = (
        "Starts PostgreSQL and Redis where none are given, then web, beat and the workers. Ctrl-C stops all."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--until-eof", action="store_true", help="end when stdin closes")

    def handle(self, *args: Any, **options: Any) -> None:
        end_on_signals()
        if options["until_eof"]:
            end_on_eof()
        try:
            with servers() as environment:
                manage("prepare", environment=environment)
                environment.pop("DJANGO_SUPERUSER_PASSWORD", None)  # nobody else's
                manager = process_manager(environment, sys.stdout)
                self.stdout.write(
                    f"http://{settings.NMS_BIND}:{settings.NMS_PORT}/  (Ctrl-C stops everything)"
                )
                manager.loop()
        except StackError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:  # before the processes were started
            return
        if manager.returncode:
            sys.exit(manager.returncode)
