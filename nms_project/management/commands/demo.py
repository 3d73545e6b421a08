"""Shows the product at work on simulated hosts."""

import os
import secrets
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console

from nms_project import env, state
from nms_project.demo.scenario import Demo
from nms_project.stack.errors import StackError
from nms_project.stack.signals import end_on_signals


class Command(BaseCommand):
    help = "Starts everything with 50 simulated Windows hosts and 20 ping-only ones, and shows them."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="end when every host has shown what it should; exit code 0, or 1 with what is missing",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        end_on_signals()
        console = Console(file=sys.stdout, soft_wrap=True)
        state_dir = settings.NMS_STATE_DIR / "demo"
        demo = Demo(
            console=console,
            once=options["once"],
            username=env.text("DJANGO_SUPERUSER_USERNAME", "admin"),
            # Kept, so that a second demo can log in to the data of the first.
            password=os.environ.get("DJANGO_SUPERUSER_PASSWORD")
            or env.text("DJANGO_SUPERUSER_PASSWORD")
            or state.secret(state_dir, "demo-password", lambda: secrets.token_urlsafe(12)),
            host_password=state.secret(state_dir, "demo-host-password", lambda: secrets.token_urlsafe(16)),
        )
        try:
            summary = demo.play()
        except StackError as error:
            raise CommandError(str(error)) from None
        except KeyboardInterrupt:
            return
        if summary is None:
            return
        for line in summary.lines:
            console.print(line, highlight=False)
        for problem in summary.problems:
            console.print(f"missing: {problem}", highlight=False)
        console.print(f"The demo has ended. Its data stays in {state_dir}.", highlight=False)
        if summary.problems:
            sys.exit(1)
