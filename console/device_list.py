"""What the list of devices shows beside their fields."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.templatetags.unfold_list import result_headers

from console.strip_svg import strip_svg
from devices.models import Device, DeviceStatus
from devices.selectors import IS_DOWN
from devices.services import database_now
from nms_project.admin import ChangeList
from polling import states
from polling.models import VerdictKind
from polling.strips import strips

# Saved views hold these names.
STATES = {
    "problem": ("Problem: down or failing", states.IS_PROBLEM),
    "down": ("Down", IS_DOWN),
    "acknowledged": ("Down, acknowledged", states.IS_ACKNOWLEDGED),
    "configuration": ("Down by configuration", Q(status=DeviceStatus.ERROR)),
    "failing": ("Failing", states.IS_FAILING),
    "login": ("Failing, login refused", states.ACTIVE & Q(poll_state__last_verdict=VerdictKind.AUTH_FAILED)),
    "up": ("Up", states.IS_UP),
    "unmonitored": ("Not monitored", states.IS_UNMONITORED),
    "waiting": ("Waiting for an answer", states.IS_WAITING),
    "pending": ("Pending: not provisioned yet", states.IS_PENDING),
    "paused": ("Paused by a person", states.IS_PAUSED),
}


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, title) for name, (title, _) in STATES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> QuerySet[Device]:
        if self.value() not in STATES:
            return queryset
        return queryset.filter(STATES[str(self.value())][1])


class DeviceList(ChangeList):
    """Each row knows its last day, read at once for all that are shown."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if "last_day" not in self.list_display:
            return
        rows: list[Any] = list(self.result_list)
        found = strips([row.pk for row in rows], database_now())
        for row in rows:
            row.strip_svg = strip_svg(found[row.pk])
        self.result_list = rows


def headers_of(shown: DeviceList) -> dict[str, Any]:
    """What the theme's template of a list's head asks for. The rows are a template of our own: the theme
    works its heads out for each row again, which is most of the time that a list takes.
    """
    headers = list(result_headers(shown))
    ordered = sum(bool(header["sortable"] and header["sorted"]) for header in headers)
    return {"result_headers": headers, "num_sorted_fields": ordered}
