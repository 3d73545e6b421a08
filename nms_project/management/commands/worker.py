"""A Celery worker of one or more queues, with the pool that they need."""

import os
import socket
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from nms_project import celery_app
from nms_project.queues import concurrency, queue_names


class Command(BaseCommand):
    requires_system_checks = ()  # a worker must start, and wait, while PostgreSQL is away
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
        name = f"{'+'.join(queues)}.{os.getpid()}@{socket.gethostname()}"
        threads = sum(concurrency(queue) for queue in queues)
        command = ["--quiet", "worker"]
        command += [f"--queues={','.join(queues)}", f"--hostname={name}", f"--concurrency={threads}"]
        command += ["--pool=threads", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        command += [f"--loglevel={settings.NMS_LOG_LEVEL}"]
        celery_app.start(command)
