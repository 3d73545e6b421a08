"""The list of devices, and the page of one: its state and why, its timeline and charts, and what can be done
about it.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.filters import RelatedOnlyFieldListFilter
from django.contrib.admin.options import IS_POPUP_VAR
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.expressions import Combinable
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    QueryDict,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from console import bulk as bulk_pages
from console.charts import charts_of, range_checked
from console.device_list import DeviceList, StateFilter, headers_of
from console.pages import REFRESH_SECONDS, id_of, json_answer, own_path, trial_told
from console.saved_views import query_of, view_forget, view_save, views_of
from console.timeline import periods
from devices import bulk, services
from devices.admin import DeviceAdmin
from devices.models import Device, StatusChange
from devices.services import database_now
from metrics.models import Sample
from nms_project.admin import ChangeList
from nms_project.api import error_body
from nms_project.errors import InvalidInput, NMSError
from polling.explain import device_explain
from polling.models import Verdict
from polling.states import SEVERITY

SHOWN_VERDICTS = 20
SHOWN_CHANGES = 20
# For what was measured of a device and what came of its polls, beside its own fields; as in the API.
NEEDED = ("polling.view_verdict", "metrics.view_sample", "devices.view_statuschange")
WITH_STATE = Device.objects.select_related("poll_state", "credential_profile")

admin.site.unregister(Device)


@admin.register(Device)
class DevicePageAdmin(DeviceAdmin):
    """The ledger and the samples have no pages of their own: they are partitioned, and hundreds of millions
    of rows are no list to page through.
    """

    change_form_outer_before_template = "console/device_page.html"

    list_display = (*DeviceAdmin.list_display, "last_day")
    list_filter = (
        StateFilter,
        "status",
        "plugin_id",
        ("discovery_profile", RelatedOnlyFieldListFilter),
        "should_ping",
    )
    change_list_template = "console/device_list.html"
    list_before_template = "console/device_views.html"
    list_per_page = 50  # as the API
    show_full_result_count = False  # a count of all devices for a text nobody asked for

    def get_urls(self) -> list[URLPattern]:
        return [
            own_path(self, "<int:pk>/live/", self.live_view),
            own_path(self, "<int:pk>/charts/", self.charts_view),
            own_path(self, "<int:pk>/do/<str:action>/", self.do_view),
            own_path(self, "bulk/<str:name>/", self.bulk_view),
            own_path(self, "views/", self.views_view),
            *super().get_urls(),
        ]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Each leads to a page that has it done; see console/bulk.py."""
        if IS_POPUP_VAR in request.GET:
            return {}
        return {
            name: (_asking(name), name, action.title)
            for name, action in bulk_pages.ACTIONS.items()
            if request.user.has_perms(action.permissions)
        }

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DeviceList

    def get_ordering(self, request: HttpRequest) -> tuple[str | Combinable, ...]:
        return (SEVERITY, "sort_name", "pk")

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = super().get_list_display(request)
        is_allowed = request.user.has_perm("polling.view_verdict")
        return columns if is_allowed else [name for name in columns if name != "last_day"]

    @admin.display(description="24 hours")
    def last_day(self, device: Any) -> str:
        return str(device.strip_svg)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        context = {
            "views": views_of(request.user),
            "shown_query": query_of(request.GET),
            **(extra_context or {}),
        }
        answer = super().changelist_view(request, context)
        if isinstance(answer, TemplateResponse) and answer.context_data and "cl" in answer.context_data:
            answer.context_data |= headers_of(answer.context_data["cl"])
        return answer

    def bulk_view(self, request: HttpRequest, name: str) -> HttpResponse:
        return bulk_pages.bulk_do(request, name)

    @method_decorator(require_POST)
    def views_view(self, request: HttpRequest) -> HttpResponse:
        """Saves the filters of the list under a name, or forgets them; then shows the list again."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        query = query_of(QueryDict(request.POST.get("query", "")))
        try:
            if "forget" in request.POST:
                view_forget(request.user, request.POST["forget"])
            else:
                view_save(
                    request.user,
                    request.POST.get("name", ""),
                    query,
                    is_shared="is_shared" in request.POST and request.user.has_perm("devices.change_device"),
                )
        except InvalidInput as error:
            self.message_user(request, error.words, messages.ERROR)
        return HttpResponseRedirect(f"{reverse('admin:devices_device_changelist')}?{query}")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context: dict[str, Any] = {"refresh_seconds": REFRESH_SECONDS, **(extra_context or {})}
        device = WITH_STATE.filter(pk=id_of(object_id)).first()
        if device is not None and self._may_see_polls(request, device):
            context |= self._panels(request, device)
        return super().change_view(request, object_id, form_url, context)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The state of the device as it is now."""
        device = self._device(request, pk)
        if not self._may_see_polls(request, device):
            raise PermissionDenied
        return TemplateResponse(request, "console/device_panels.html", self._panels(request, device))

    def charts_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Charts and timeline over `start` to `end`, in seconds since the epoch, as JSON."""
        device = self._device(request, pk)
        if not self._may_see_polls(request, device):
            raise PermissionDenied
        now = database_now()
        try:
            start, end = range_checked(float(request.GET["start"]), float(request.GET["end"]), now)
        except InvalidInput as error:
            return json_answer(400, error_body(400, str(error)))
        except (KeyError, ValueError, OverflowError, OSError):
            return json_answer(400, error_body(400, "start and end must be times."))
        charts = charts_of(device, start=start, end=end, now=now, show_all="all" in request.GET)
        found = periods(device, start=start, end=end, now=now)
        body = {**asdict(charts), "periods": [asdict(period) for period in found]}
        return json_answer(200, body)

    @method_decorator(require_POST)
    def do_view(self, request: HttpRequest, pk: int, action: str) -> HttpResponse:
        """Does what a button asks for, and says on the page what came of it."""
        device = self._device(request, pk)
        if action not in ACTIONS:
            raise Http404
        do, permission = ACTIONS[action]
        if not request.user.has_perm(permission):
            raise PermissionDenied
        try:
            level, words = do(request, device)
        except NMSError as error:
            level, words = messages.ERROR, str(error)
        self.message_user(request, words, level)
        return HttpResponseRedirect(reverse("admin:devices_device_change", args=[pk]))

    def _device(self, request: HttpRequest, pk: int) -> Device:
        device = WITH_STATE.filter(pk=pk).first()
        if not self.has_view_permission(request, device):
            raise PermissionDenied
        if device is None:
            raise Http404
        return device

    def _may_see_polls(self, request: HttpRequest, device: Device) -> bool:
        return self.has_view_permission(request, device) and request.user.has_perms(NEEDED)

    def _panels(self, request: HttpRequest, device: Device) -> dict[str, Any]:
        now = database_now()
        sample = Sample.objects.filter(device_id=device.pk).order_by("-due_at").first()
        return {
            "device": device,
            "now": now,
            "explanation": device_explain(device, now),
            "verdicts": Verdict.objects.filter(device_id=device.pk).order_by("-due_at")[:SHOWN_VERDICTS],
            "changes": StatusChange.objects.filter(device=device)[:SHOWN_CHANGES],
            "sample": sample,
            "document": sample and json.dumps(sample.data, indent=1, ensure_ascii=False),
            "can_change": request.user.has_perm("devices.change_device"),
            "can_test": request.user.has_perm("devices.use_credentialprofile"),
            "actions": list(ACTIONS),
        }


def _asking(name: str) -> Callable[..., HttpResponse]:
    """The action of the list that leads to the page of console.bulk's."""

    def ask(page: DevicePageAdmin, request: HttpRequest, queryset: QuerySet[Device]) -> HttpResponse:
        ids = queryset.order_by().values_list("pk", flat=True)
        return bulk_pages.bulk_page(request, page.admin_site, name, ids, back=request.get_full_path())

    return ask


def _acknowledge(request: HttpRequest, device: Device) -> tuple[int, str]:
    services.device_acknowledge(device_id=device.pk, by=request.user.get_username())
    return (
        messages.SUCCESS,
        f"{device.hostname} is acknowledged. It stays down, off the list of problems.",
    )


def _unacknowledge(request: HttpRequest, device: Device) -> tuple[int, str]:
    services.device_unacknowledge(device_id=device.pk)
    return messages.SUCCESS, f"{device.hostname} is on the list of problems again."


def _poll(request: HttpRequest, device: Device) -> tuple[int, str]:
    services.device_poll_now(device_id=device.pk)
    return messages.SUCCESS, f"{device.hostname} is polled now."


def _provision(request: HttpRequest, device: Device) -> tuple[int, str]:
    services.device_provision(device_id=device.pk, interval_seconds=None)
    return messages.SUCCESS, f"{device.hostname} is polled from now on."


def _deactivate(request: HttpRequest, device: Device) -> tuple[int, str]:
    bulk.devices_deactivate([device.pk], reason=f"deactivated by {request.user}")
    return messages.SUCCESS, f"{device.hostname} is not polled any more."


def _test(request: HttpRequest, device: Device) -> tuple[int, str]:
    return trial_told(
        device.credential_profile, target=device.ip_address, port=device.port, name=device.hostname
    )


Do = Callable[[HttpRequest, Device], tuple[int, str]]
ACTIONS: dict[str, tuple[Do, str]] = {
    "poll": (_poll, "devices.change_device"),
    "provision": (_provision, "devices.change_device"),
    "deactivate": (_deactivate, "devices.change_device"),
    "acknowledge": (_acknowledge, "devices.change_device"),
    "unacknowledge": (_unacknowledge, "devices.change_device"),
    "test": (_test, "devices.use_credentialprofile"),
}
