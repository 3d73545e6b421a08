"""A Celery worker of one or more queues, with the pool that they need."""

import os
import shutil
import socket
import sys
import warnings
from typing import Any

from celery.exceptions import SecurityWarning
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from nms_project import celery_app
from nms_project.checks import SETTINGS
from nms_project.queues import Queue, concurrency, queue_names


class Command(BaseCommand):
    # No others: Django's load every page of the admin, and a worker must start, and wait, while PostgreSQL is
    # away.
    requires_system_checks = (SETTINGS,)
    help = "Works on the given queues; any number of workers may share one, on any number of machines."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("queues", nargs="+", help="for example: control ping poll.0 store discovery")

    def handle(self, *args: Any, **options: Any) -> None:
        queues = options["queues"]
        unknown = [name for name in queues if name not in queue_names()]
        if unknown:
            raise CommandError(
                f"There is no queue {', '.join(unknown)}. With NMS_POLL_SHARDS={settings.NMS_POLL_SHARDS} "
                f"the queues are: {', '.join(queue_names())}."
            )
        if {Queue.PING, Queue.DISCOVERY} & set(queues) and shutil.which(settings.NMS_FPING) is None:
            raise CommandError(
                f"NMS_FPING must name a program that can be run; {settings.NMS_FPING!r} is not one. "
                "Install fping, or set it to its path."
            )
        name = f"{'+'.join(queues)}.{os.getpid()}@{socket.gethostname()}"
        threads = sum(concurrency(queue) for queue in queues)
        # Of a worker that runs as root. It is about pickle, which these workers do not accept.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        os.environ["CELERY_SKIP_CHECKS"] = "1"  # they are done
        worker = celery_app.Worker(
            hostname=name,
            queues=queues,
            concurrency=threads,
            pool_cls="threads",
            loglevel=settings.NMS_LOG_LEVEL,
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
        sys.exit(worker.exitcode)
