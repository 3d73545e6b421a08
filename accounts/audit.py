"""Who is acting: told to the database session before a request writes, where the triggers that keep the audit
find it. What nobody is named for was done by the system itself.
"""

from typing import Any

import orjson
from django.db import connection
from django.http import HttpRequest

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


def acting_forget() -> None:
    """The connection goes on to others."""
    if connection.needs_rollback:
        return  # the name goes with the transaction in which it was told
    try:
        with connection.cursor() as cursor:
            cursor.execute(SET, [""])
    except OUTAGES:
        connection.close()
