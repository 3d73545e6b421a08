"""The admin of polling: parked messages."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from nms_project.admin import ModelAdmin
from polling.models import ParkedMessage
from polling.parking import message_unpark


@admin.register(ParkedMessage)
class ParkedMessageAdmin(ModelAdmin[ParkedMessage]):
    """Messages that killed their worker three times. They can be looked at, stored after all, and deleted."""

    audited_as = ("parked message",)
    empty_text = "Results that could not be stored three times in a row are kept here to be examined."
    list_display = ("task_id", "parked_at")
    actions = ("store_again",)
    readonly_fields = ("task_id", "body", "parked_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Store again", permissions=["delete"])
    def store_again(self, request: HttpRequest, queryset: QuerySet[ParkedMessage]) -> None:
        for parked in queryset:
            message_unpark(parked)
        self.message_user(request, f"{len(queryset)} message(s) are on their way again.", messages.SUCCESS)
