"""The last-resort error pages."""

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from nms_project.api import error_body


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse(error_body(404, "There is no such route."), status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse(error_body(500, "The server has a bug; its log has the details."), status=500)
    return defaults.server_error(request)
