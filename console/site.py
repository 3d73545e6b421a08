"""The admin's site: the dashboard is its first page."""

import time
from collections.abc import Callable
from typing import Any

from csp.decorators import csp_update
from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.dataclasses import SearchResult
from unfold.sites import UnfoldAdminSite

from console.dashboard import dashboard
from console.pages import REFRESH_SECONDS

# Alpine.js, which the theme is built on, makes functions of the expressions in attributes of its templates.
# Templates escape what they show, so no text of a device becomes an attribute.
with_expressions: Callable[[Callable[..., Any]], Callable[..., Any]] = csp_update(
    {"script-src": ["'unsafe-eval'"]}
)
SEARCHED = ("devices.device", "discovery.discoveryprofile")
SEARCH_RESULTS = 20  # of each model
# Who may see all that the dashboard shows; others get the list of what they may.
NEEDED = ("devices.view_device", "polling.view_verdict", "metrics.view_sample", "discovery.view_discoveryrun")


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        wrapped: Callable[..., Any] = with_expressions(super().admin_view(view, cacheable))
        return wrapped

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        answer: HttpResponseBase = with_expressions(super().login)(request, extra_context)
        return answer

    def extra_urls(self) -> list[URLPattern]:
        return [path("live/", self.admin_view(self.live), name="live")]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        if not may_see_all(request.user):
            answer: TemplateResponse = super().index(request, extra_context)
            return answer
        context = {
            **self.each_context(request),
            "title": "Dashboard",
            "shown": dashboard(),
            "refresh_seconds": REFRESH_SECONDS,
            **(extra_context or {}),
        }
        request.current_app = self.name
        return TemplateResponse(request, "console/dashboard.html", context)

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """As unfold's, which keeps results for minutes, whatever rights their user still has."""
        term = request.GET.get("s", "").strip().lower()
        if not term or "\0" in term:
            return HttpResponse()
        is_extended = "extended" in request.GET
        started = time.monotonic()
        apps_seen = super(UnfoldAdminSite, self).get_app_list(request)
        results = self._search_apps(apps_seen, term)
        if is_extended:
            results += self._rows_found(request, term)
        name = "command_results" if is_extended else "search_results"
        pages = Paginator(results, len(results) or 1)
        context = {
            "page_obj": pages,
            "results": pages.page(1),
            "page_counter": 0,
            "execution_time": time.monotonic() - started,
        }
        answer = TemplateResponse(request, f"unfold/helpers/{name}.html", context)
        answer["HX-Trigger"] = "search"
        return answer

    def _rows_found(self, request: HttpRequest, term: str) -> list[SearchResult]:
        """Return at most SEARCH_RESULTS rows of each model; unfold's own method reads every match."""
        found = []
        for label in SEARCHED:
            model = apps.get_model(label)
            page = self._registry[model]
            if not page.has_view_permission(request):
                continue
            matches, _ = page.get_search_results(request, page.get_queryset(request), term)
            name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
            found += [
                SearchResult(
                    title=str(row),
                    description=str(model._meta.verbose_name).capitalize(),
                    link=reverse(name, args=[row.pk]),
                    icon="dns",
                )
                for row in matches[:SEARCH_RESULTS]
            ]
        return found

    def live(self, request: HttpRequest) -> HttpResponse:
        """The panels of the dashboard as they are now."""
        if not may_see_all(request.user):
            raise PermissionDenied
        return TemplateResponse(request, "console/panels.html", {"shown": dashboard()})


def may_see_all(user: Any) -> bool:
    return not isinstance(user, AnonymousUser) and bool(user.has_perms(NEEDED))
