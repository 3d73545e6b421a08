"""The admin of polling: parked messages."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from nms_project.admin import ModelAdmin
from polling.models import ParkedMessage


@admin.register(ParkedMessage)
class ParkedMessageAdmin(ModelAdmin[ParkedMessage]):
    """Messages that killed their worker three times. They can be looked at and deleted."""

    list_display = ("task_id", "parked_at")
    readonly_fields = ("task_id", "body", "parked_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
