"""Who is acting, told to the database for a request: accounts/audit.py."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.audit import acting, acting_forget
from nms_project.api import outage_response
from nms_project.errors import OUTAGES


class AuditMiddleware:
    """Names the user of a form, and forgets whoever was named when the request is done."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self.get_response(request)
        finally:
            if getattr(request, "nms_is_acting", False):
                acting_forget()

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        """The API's views say themselves who acts, once they know."""
        try:
            if request.path_info.startswith("/admin/") and request.user.is_authenticated:
                acting(request, request.user, None)
        except OUTAGES as error:  # the first to ask for the user; Django asks no middleware about it
            return outage_response(error)
        return None
