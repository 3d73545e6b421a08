"""The health check of a container: does this installation reach what it needs?"""

from typing import Any

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection
from redis import RedisError

from nms_project.redis_client import redis_client


class Command(BaseCommand):
    help = "Exit code 0 when PostgreSQL and Redis answer, and with --web when the web server does."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--web", action="store_true", help="ask the web server on PORT instead")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["web"]:
                url = f"http://127.0.0.1:{settings.NMS_PORT}/healthz"
                with requests.Session() as session:
                    session.trust_env = False  # no proxy to ourselves
                    session.get(url, timeout=10).raise_for_status()
            else:
                connection.ensure_connection()
                redis_client().ping()
        except (DatabaseError, RedisError, requests.RequestException) as error:
            raise CommandError(f"not alive: {type(error).__name__}") from None
