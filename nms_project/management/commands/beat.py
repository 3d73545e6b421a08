"""Celery's beat. Any number may run: what they send is harmless when doubled."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from nms_project import celery_app
from nms_project.checks import SETTINGS


class Command(BaseCommand):
    requires_system_checks = (SETTINGS,)
    help = "Sends the ticks of nms_project/schedule.py."

    def handle(self, *args: Any, **options: Any) -> None:
        # The in-memory scheduler: nothing it could remember matters, and there is no file to go bad.
        scheduler = "nms_project.beat:SteadyScheduler"
        celery_app.Beat(scheduler=scheduler, loglevel=settings.NMS_LOG_LEVEL, quiet=True).run()
