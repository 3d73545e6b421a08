"""What the console's pages share."""

from collections.abc import Callable
from typing import Any

import orjson
from django.contrib import messages
from django.http import HttpResponse
from django.urls import URLPattern, path

from devices.models import CredentialProfile
from nms_project.admin import ModelAdmin
from polling.trial import credential_try

REFRESH_SECONDS = 5


def own_path(page: ModelAdmin[Any], route: str, view: Callable[..., HttpResponse]) -> URLPattern:
    """A path below those of the model, for who is logged in. Its name is the model's, with the last fixed
    part of `route`: `<int:pk>/live/` of devices.Device is devices_device_live.
    """
    fixed = [part for part in route.strip("/").split("/") if not part.startswith("<")]
    name = f"{page.opts.app_label}_{page.opts.model_name}_{fixed[-1]}"
    return path(route, page.admin_site.admin_view(view), name=name)


def id_of(text: str) -> int:
    """0, which no row has, where `text` is no number or one too large for an id."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0


def json_answer(status: int, body: Any) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), content_type="application/json", status=status)


def trial_told(
    profile: CredentialProfile, *, target: str, port: int | None, name: str = ""
) -> tuple[int, str]:
    """Tries a credential: the level of the message and what came of it in words, with `name` for the target.
    Raises what `credential_try` raises.
    """
    trial = credential_try(profile=profile, target=target, port=port)
    level = messages.SUCCESS if trial.success else messages.ERROR
    return level, f"{profile.name} on {name or target}: {trial.message}"
