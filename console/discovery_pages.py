"""The page of a discovery profile, which says what its target comes to while it is typed, and the page of a
run: how far it is, what it found, and why the rest was not.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from console.bulk import bulk_page
from console.pages import REFRESH_SECONDS, id_of, own_path
from devices.models import CredentialProfile, Device, DeviceStatus
from devices.services import database_now
from discovery.admin import DiscoveryProfileAdmin, DiscoveryRunAdmin
from discovery.errors import InvalidTarget
from discovery.models import DiscoveryProfile, DiscoveryResult, DiscoveryRun, Outcome, RunStatus
from discovery.preview import preview
from discovery.selectors import runs_with_progress
from discovery.services import run_start
from nms_project.errors import NMSError
from plugins.contract import ErrorCode

SHOWN_RUNS = 5
SHOWN_RESULTS = 200  # of each kind; all of them are a list of their own
# What a code of the plugin protocol means for whoever looks for devices.
REASONS = {
    ErrorCode.UNREACHABLE: "did not answer",
    ErrorCode.TIMEOUT: "did not answer in time",
    ErrorCode.AUTH: "refused the credential",
    ErrorCode.REFUSED: "has nothing that listens on the port",
    ErrorCode.PROTOCOL: "answered with something else than the protocol",
    ErrorCode.SCRIPT: "let us in, and could not tell its figures",
    ErrorCode.QUOTA: "has too many sessions open",
    ErrorCode.INTERNAL: "could not be asked, by a fault of ours",
}

admin.site.unregister(DiscoveryProfile)
admin.site.unregister(DiscoveryRun)


@dataclass(frozen=True, slots=True)
class Reason:
    code: str
    words: str
    count: int


@admin.register(DiscoveryProfile)
class DiscoveryProfilePageAdmin(DiscoveryProfileAdmin):
    change_form_outer_before_template = "console/profile_page.html"

    def get_urls(self) -> list[URLPattern]:
        return [
            own_path(self, "preview/", self.preview_view),
            own_path(self, "<int:pk>/run/", self.run_view),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context: dict[str, Any] = {"can_run": self.has_run_permission(request), **(extra_context or {})}
        if request.user.has_perm("discovery.view_discoveryrun"):
            context["runs"] = runs_with_progress().filter(profile_id=id_of(object_id))[:SHOWN_RUNS]
        return super().change_view(request, object_id, form_url, context)

    @method_decorator(require_POST)
    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """What `target` comes to, in words; POST, since a target may be longer than an address may."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        credential_id = id_of(request.POST.get("credential_profile", ""))
        context: dict[str, Any] = {
            "credential": CredentialProfile.objects.filter(pk=credential_id).first(),
            "ping_first": "ping_first" in request.POST,
        }
        try:
            context["found"] = preview(
                request.POST.get("target", ""),
                credential=context["credential"],
                ping_first=context["ping_first"],
                profile_id=id_of(request.POST.get("profile", "")),
            )
        except InvalidTarget as error:
            context["error"] = " ".join(error.fields["target"])
        return TemplateResponse(request, "console/target_preview.html", context)

    @method_decorator(require_POST)
    def run_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Starts a run, and leads to its page."""
        if not self.has_run_permission(request):
            raise PermissionDenied
        profile = DiscoveryProfile.objects.filter(pk=pk).first()
        if profile is None:
            raise Http404
        try:
            run = run_start(profile)
        except NMSError as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:discovery_discoveryprofile_change", args=[pk]))
        return HttpResponseRedirect(reverse("admin:discovery_discoveryrun_change", args=[run.pk]))


@admin.register(DiscoveryRun)
class DiscoveryRunPageAdmin(DiscoveryRunAdmin):
    change_form_outer_before_template = "console/run_page.html"
    fields = ("profile", "target")

    def get_urls(self) -> list[URLPattern]:
        return [
            own_path(self, "<int:pk>/live/", self.live_view),
            own_path(self, "<int:pk>/approve/", self.approve_view),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context: dict[str, Any] = {"refresh_seconds": REFRESH_SECONDS, **(extra_context or {})}
        if self.has_view_permission(request):
            context |= self._panels(request, id_of(object_id))
        return super().change_view(request, object_id, form_url, context)

    def live_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The run as it is now."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = self._panels(request, pk)
        if not context:
            raise Http404
        return TemplateResponse(request, "console/run_panels.html", context)

    @method_decorator(require_POST)
    def approve_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Leads to the page that provisions the devices that were ticked, or all that wait."""
        get_object_or_404(DiscoveryRun, pk=pk)
        ids = _awaiting(pk).values_list("pk", flat=True)
        if "all" not in request.POST:
            ids = ids.filter(pk__in=[id_of(text) for text in request.POST.getlist("device")])
        back = reverse("admin:discovery_discoveryrun_change", args=[pk])
        return bulk_page(request, self.admin_site, "provision", ids, back=back)

    def _panels(self, request: HttpRequest, pk: int) -> dict[str, Any]:
        run = runs_with_progress().select_related("profile").filter(pk=pk).first()
        if run is None:
            return {}
        now = database_now()
        results = DiscoveryResult.objects.filter(run_id=pk)
        awaiting = list(_awaiting(pk)[: SHOWN_RESULTS + 1])
        return {
            "run": run,
            "now": now,
            "is_open": run.status in (RunStatus.QUEUED, RunStatus.RUNNING),
            "seconds_left": _seconds_left(run, now),
            "awaiting": awaiting[:SHOWN_RESULTS],
            "awaiting_more": len(awaiting) > SHOWN_RESULTS,
            "found": results.exclude(outcome=Outcome.FAILED)
            .select_related("device")
            .order_by("-id")[:SHOWN_RESULTS],
            "reasons": _reasons(results),
            "failed": results.filter(outcome=Outcome.FAILED)
            .exclude(error_code=ErrorCode.UNREACHABLE)
            .order_by("-id")[:SHOWN_RESULTS],
            "can_approve": request.user.has_perm("devices.change_device"),
        }


def _awaiting(run_id: int) -> QuerySet[Device]:
    """Devices that the run found and that nobody has approved."""
    found = DiscoveryResult.objects.filter(run_id=run_id, device__isnull=False).values("device_id")
    return Device.objects.filter(pk__in=found, status=DeviceStatus.DISCOVERED).order_by("pk")


def _reasons(results: QuerySet[DiscoveryResult]) -> list[Reason]:
    """Why addresses are no devices, the commonest first."""
    failed = results.filter(outcome=Outcome.FAILED).order_by()
    counts = failed.values_list("error_code").annotate(number=Count("pk")).order_by("-number")
    return [Reason(code, _words(code), number) for code, number in counts]


def _words(code: str) -> str:
    try:
        return REASONS[ErrorCode(code)]
    except (KeyError, ValueError):
        return code


def _seconds_left(run: Any, now: datetime) -> float | None:
    """By its own pace so far; None before its first results and after its last."""
    if run.status != RunStatus.RUNNING or not run.done or run.started_at is None:
        return None
    return float((now - run.started_at).total_seconds() / run.done * (run.total - run.done))
