"""The Celery application; its settings are the CELERY_ ones of nms_project/settings.py."""

import os
from typing import Any

import structlog
from celery import Celery
from celery.signals import setup_logging, task_postrun, task_prerun

from nms_project import broker
from nms_project.heartbeat import Heart

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nms_project.settings")

broker.register()
app = Celery("nms")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["worker"].add(Heart)


@setup_logging.connect
def _keep_django_logging(**_: Any) -> None:
    """Celery leaves logging alone when this signal has a receiver; Django has configured it already."""


@task_prerun.connect
def _bind_task(task_id: str, task: Any, **_: Any) -> None:
    structlog.contextvars.bind_contextvars(task=task.name, task_id=task_id)


@task_postrun.connect
def _unbind_task(**_: Any) -> None:
    structlog.contextvars.clear_contextvars()
