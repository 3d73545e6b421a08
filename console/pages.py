"""What the console's pages share."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from nms_project.admin import ModelAdmin

REFRESH_SECONDS = 5


def own_path(page: ModelAdmin[Any], route: str, view: Callable[..., HttpResponse]) -> URLPattern:
    """A path below those of the model, for who is logged in. Its name is the model's, with the last fixed
    part of `route`: `<int:pk>/live/` of devices.Device is devices_device_live.
    """
    fixed = [part for part in route.strip("/").split("/") if not part.startswith("<")]
    name = f"{page.opts.app_label}_{page.opts.model_name}_{fixed[-1]}"
    return path(route, page.admin_site.admin_view(view), name=name)


def given_id(request: HttpRequest, name: str) -> int | None:
    """A number sent as `name`; None for anything else."""
    text = request.POST.get(name) or request.GET.get(name) or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
