"""Runs everything in one terminal, with embedded servers where none are given."""

import os
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from nms_project.stack.errors import StackError
from nms_project.stack.processes import (
    check_port,
    manage,
    process_commands,
    process_environment,
    servers,
    web_answers,
)
from nms_project.stack.signals import end_on_eof, end_on_signals
from nms_project.stack.supervisor import Supervisor


class Command(BaseCommand):
    help = (
        "Starts PostgreSQL and Redis where none are given, then web, beat and the workers, and starts again "
        "what ends. Ctrl-C stops all."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--until-eof", action="store_true", help="end when stdin closes")

    def handle(self, *args: Any, **options: Any) -> None:
        end_on_signals()
        if options["until_eof"]:
            end_on_eof()
        try:
            check_port()
            with servers() as started:
                environment = dict(os.environ)
                prepared = manage("prepare", environment=environment)
                for name in ("DJANGO_SUPERUSER_PASSWORD", "DJANGO_SUPERUSER_PASSWORD_FILE"):
                    environment.pop(name, None)  # no other process needs it
                supervisor = Supervisor(sys.stdout, servers=started)
                for name, command in process_commands().items():
                    supervisor.add(name, command)
                supervisor.say_once(
                    web_answers,
                    f"http://{settings.NMS_BIND}:{settings.NMS_PORT}/  (Ctrl-C stops everything)\n{prepared}",
                )
                code = supervisor.run(process_environment(environment), settings.BASE_DIR)
        except StackError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:  # before the processes were started
            return
        sys.exit(code)
