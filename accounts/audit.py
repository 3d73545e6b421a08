"""Who is acting: told to the database session before a request writes, where the triggers that keep the audit
find it. What nobody is named for was done by the system itself.
"""

from collections.abc import Callable
from typing import Any

import orjson
from django.db import connection
from django.http import HttpRequest, HttpResponse

from accounts.client import client_address
from accounts.models import ApiToken
from nms_project.errors import OUTAGES

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SET = "SELECT set_config('nms.actor', %s, false)"


def acting(request: HttpRequest, user: Any, auth: Any) -> None:
    """From now on the connection's changes are this user's, until the request has been answered."""
    if request.method in SAFE_METHODS:
        return
    if isinstance(auth, ApiToken):
        source = f"token {auth.pk}"
    else:
        source = "admin" if request.path_info.startswith("/admin/") else "api"
    who = {
        "id": user.pk,
        "name": user.get_username(),
        "source": source,
        "address": client_address(request),
    }
    with connection.cursor() as cursor:
        cursor.execute(SET, [orjson.dumps(who).decode()])
    request.nms_is_acting = True  # type: ignore[attr-defined]  # for the middleware


class AuditMiddleware:
    """Names the user of a form, and forgets whoever was named when the request is done: the connection goes
    on to others.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            return self.get_response(request)
        finally:
            if getattr(request, "nms_is_acting", False):
                _forget()

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        """The API's views say themselves who acts, once they know."""
        if request.path_info.startswith("/admin/") and request.user.is_authenticated:
            acting(request, request.user, None)


def _forget() -> None:
    if connection.needs_rollback:
        return  # the name goes with the transaction in which it was told
    try:
        with connection.cursor() as cursor:
            cursor.execute(SET, [""])
    except OUTAGES:
        connection.close()
