"""What the list of devices shows beside their fields."""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from devices.models import Device, DeviceStatus
from devices.services import database_now
from nms_project.admin import ChangeList
from polling.problems import FAILING
from polling.strips import strips

PROBLEMS = {
    "any": ("Any", Q(has_failed=True) | Q(status=DeviceStatus.ACTIVE, poll_state__last_verdict__in=FAILING)),
    "down": ("Taken off after failures", Q(has_failed=True)),
    "failing": (
        "Polled, and does not answer",
        Q(status=DeviceStatus.ACTIVE, poll_state__last_verdict__in=FAILING),
    ),
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
        rows: list[Any] = list(self.result_list)
        found = strips([row.pk for row in rows], database_now())
        for row in rows:
            row.strip = found[row.pk]
        self.result_list = rows
