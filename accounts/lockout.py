"""Who guesses passwords waits, longer with each guess. django-axes says when a login fails; the counts are in
Redis, where all web servers share them.

Failures are counted for a user name from one address, for an address, and for a user name. What reaches its
limit is locked for 30 s, then for twice as long with each further failure, up to a quarter of an hour. A user
name nobody has is counted like any other, so that an answer tells nothing about it.
"""

import hashlib
import math
from typing import Any

from axes.handlers.base import AxesBaseHandler
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from accounts.client import client_address
from nms_project.api import error_body
from nms_project.redis_client import redis_client

FORGET_SECONDS = 6 * 3_600  # after the last failure
FIRST_SECONDS, LONGEST_SECONDS = 30, 900
# Of an address many may share, and of a user name that somebody else may try on purpose.
SHARED_FACTOR = 10


def _keys(address: str, username: str) -> dict[str, int]:
    """{key: failures allowed}. Names are hashed: they may be anything, even a password typed too early."""
    limit = settings.NMS_LOGIN_FAILURES
    who = hashlib.sha256(username.casefold().encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return {
        f"lockout:both:{who}:{address}": limit,
        f"lockout:address:{address}": limit * SHARED_FACTOR,
        f"lockout:user:{who}": limit * SHARED_FACTOR,
    }


def wait_seconds(address: str, username: str) -> int:
    """How long this login has to wait; 0 if it may be tried."""
    pipe = redis_client().pipeline(transaction=False)
    for key in _keys(address, username):
        pipe.pttl(f"{key}:locked")
    waits = [math.ceil(int(left) / 1_000) for left in pipe.execute()]
    return max(0, *waits)


def failure_note(address: str, username: str) -> None:
    keys = _keys(address, username)
    pipe = redis_client().pipeline()
    for key in keys:
        pipe.incr(key)
        pipe.expire(key, FORGET_SECONDS)
    counts = pipe.execute()[::2]
    for (key, limit), count in zip(keys.items(), counts, strict=True):
        if count >= limit:
            seconds = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** min(count - limit, 10))
            pipe.set(f"{key}:locked", 1, ex=seconds)
    pipe.execute()


def success_note(address: str, username: str) -> None:
    """Forgets this user's failures from this address; what is shared with others stays."""
    redis_client().delete(next(iter(_keys(address, username))))


class LockoutHandler(AxesBaseHandler):  # type: ignore[misc]  # axes has no types
    """What django-axes calls."""

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        return wait_seconds(client_address(request), _username(credentials)) > 0

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        if request is None:
            return
        address, username = client_address(request), _username(credentials)
        if not getattr(request, "axes_locked_out", False):  # what was not even tried is no failure
            failure_note(address, username)
        seconds = wait_seconds(address, username)
        if seconds:
            request.axes_locked_out = True  # type: ignore[attr-defined]  # AxesMiddleware answers instead
            request.nms_wait_seconds = seconds  # type: ignore[attr-defined]

    def user_logged_in(self, sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
        success_note(client_address(request), user.get_username())

    def user_logged_out(self, sender: Any, request: HttpRequest, user: Any, **kwargs: Any) -> None:
        """Nothing is kept of a login."""

    def get_failures(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        return 0  # is_locked above decides


def _username(credentials: dict[str, Any] | None) -> str:
    return str((credentials or {}).get("username") or "")


def locked_response(request: HttpRequest, *_: Any) -> HttpResponse:
    """429, the same for a user that exists and one that does not."""
    seconds = getattr(request, "nms_wait_seconds", FIRST_SECONDS)
    message = f"Too many failed logins. Try again in {seconds} s."
    headers = {"Retry-After": str(seconds)}
    if request.path.startswith("/admin/") or request.path.startswith("/api-auth/"):
        return HttpResponse(message, status=429, headers=headers, content_type="text/plain; charset=utf-8")
    return JsonResponse(error_body(429, message), status=429, headers=headers)
