"""The project: settings, Celery application, URLs, and the commands that run and show the product."""

from nms_project.celery import app as celery_app

__all__ = ["celery_app"]
