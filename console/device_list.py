"""What the list of devices shows beside their fields."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from unfold.templatetags.unfold_list import result_headers

from console.strip_svg import strip_svg
from devices.models import Device, DeviceStatus
from devices.services import database_now
from nms_project.admin import ChangeList
from polling.problems import FAILING
from polling.strips import strips

DOWN = Q(has_failed=True)
SILENT = Q(status=DeviceStatus.ACTIVE, poll_state__last_verdict__in=FAILING)
PROBLEMS = {
    "any": ("Any", DOWN | SILENT),
    "down": ("Taken off after failures", DOWN),
    "failing": ("Polled, and does not answer", SILENT),
    "login": ("Refuses the login", Q(poll_state__last_verdict="auth_failed")),
    "unheard": (
        "Polled, and never heard",
        Q(status=DeviceStatus.ACTIVE, poll_state__last_verdict=""),
    ),
}


class ProblemFilter(admin.SimpleListFilter):
    title = "problem"
    parameter_name = "problem"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return [(name, title) for name, (title, _) in PROBLEMS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> QuerySet[Device]:
        if self.value() not in PROBLEMS:
            return queryset
        return queryset.filter(PROBLEMS[str(self.value())][1])


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
