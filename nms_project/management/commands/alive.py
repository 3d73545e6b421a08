"""The health check of a container: does this installation reach what it needs?"""

from typing import Any

import requests
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from redis import RedisError

from nms_project.redis_client import redis_client
from nms_project.web_address import local_url


class Command(BaseCommand):
    help = "Exit code 0 when PostgreSQL and Redis answer, and with --web when the web server does."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--web", action="store_true", help="ask the web server on BIND:PORT instead")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["web"]:
                with requests.Session() as session:
                    session.trust_env = False  # no proxy to ourselves
                    session.get(f"{local_url()}/healthz", timeout=10).raise_for_status()
            else:
                connection.ensure_connection()
                redis_client().ping()
        except (DatabaseError, RedisError, requests.RequestException) as error:
            raise CommandError(f"not alive: {type(error).__name__}") from None
