"""Answers that must come before any view: bodies too large, and servers that are away."""

from collections.abc import Callable
from functools import lru_cache
from urllib.parse import unquote
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone

from nms_project.api import error_body, outage_response
from nms_project.errors import OUTAGES
from nms_project.postgres import answers_within
from nms_project.redis_client import redis_client

HEALTH_SECONDS = 3.0  # for PostgreSQL; who asks does not wait for long

GetResponse = Callable[[HttpRequest], HttpResponse]


class BodyLimitMiddleware:
    """413 by the announced length; 411 without one (chunked), since such a body would read as empty."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "HTTP_TRANSFER_ENCODING" in request.META:
            return JsonResponse(error_body(411, "Send the body with a Content-Length."), status=411)
        length = request.META.get("CONTENT_LENGTH") or "0"
        if not length.isascii() or not length.isdigit():
            return JsonResponse(error_body(400, "Content-Length must be a number."), status=400)
        is_import = request.path_info.rstrip("/").endswith("/import")
        limit = settings.NMS_MAX_IMPORT_BYTES if is_import else settings.NMS_MAX_BODY_BYTES
        announced = length.lstrip("0") or "0"
        if len(announced) > 20 or int(announced) > limit:
            message = f"The body has {announced[:20]} bytes; at most {limit} are accepted."
            return JsonResponse(error_body(413, message), status=413)
        return self.get_response(request)


class HealthMiddleware:
    """/healthz: 200 when this process reaches PostgreSQL and Redis, else 503. It comes before everything,
    because a health check asks by address, which need not be among the allowed hosts.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info.rstrip("/") != "/healthz":
            return self.get_response(request)
        try:
            with answers_within(HEALTH_SECONDS), connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            redis_client().ping()
        except OUTAGES as error:
            return outage_response(error)
        return JsonResponse({"status": "ok"})


class TimeZoneMiddleware:
    """Pages of the admin show and take times in the browser's time zone, which a script of theirs puts into a
    cookie; the API has UTC alone.
    """

    COOKIE = "nms_timezone"

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        name = unquote(request.COOKIES.get(self.COOKIE, ""))
        if not request.path_info.startswith("/admin/") or name not in _time_zones():
            return self.get_response(request)
        with timezone.override(ZoneInfo(name)):
            return self.get_response(request)


@lru_cache(maxsize=1)
def _time_zones() -> frozenset[str]:
    """The names that the database of time zones has; reading it takes a while."""
    return frozenset(available_timezones())


class OutageMiddleware:
    """503 with Retry-After wherever PostgreSQL or Redis is away; DRF's views have the same answer of their
    own.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return outage_response(exception) if isinstance(exception, OUTAGES) else None
