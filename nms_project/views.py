"""The last-resort error pages: JSON below /api/, else pages that need neither a login nor a server."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from nms_project.api import error_body


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400, "The request cannot be used.", defaults.bad_request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, "Your role does not allow this.", defaults.permission_denied, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404, "This address does not exist.", defaults.page_not_found, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    message = "The server has a bug; its log has the details."
    return _answer(request, 500, message, defaults.server_error)


def _answer(
    request: HttpRequest, status: int, message: str, page: Callable[..., Any], *exception: Exception
) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse(error_body(status, message), status=status)
    found: HttpResponse = page(request, *exception)
    return found
