"""Who guesses passwords waits, longer with each guess. django-axes says when somebody tries to log in; the
counts are in Redis, where all web servers share them.

Failures are counted for a user name from one address, for an address, and for a user name. The first locks
for 30 s, then for twice as long with each further failure, up to a quarter of an hour. The others are shared
with people who guess nothing: they allow ten times as many within six hours, and lock for a minute at most, a
user name never for an address from which it logged in before. A user name nobody has is counted like any
other, so that an answer tells nothing about it.
"""

import hashlib
import math
from pathlib import Path
from typing import Any

from axes.handlers.base import AxesBaseHandler
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse

from accounts.client import client_address
from nms_project.api import error_body
from nms_project.redis_client import lua_script, redis_client

SCRIPT = lua_script(Path(__file__).parent / "lua" / "lockout.lua")
FORGET_SECONDS = 6 * 3_600
FIRST_SECONDS, LONGEST_SECONDS, LONGEST_SHARED_SECONDS = 30, 900, 60
SHARED_FACTOR = 10
KNOWN_SECONDS = 30 * 86_400  # how long an address is known for a user


def _keys(address: str, username: str) -> list[str]:
    """Names are hashed: they may be anything, even a password typed too early."""
    who = hashlib.sha256(username.casefold().encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return [f"nms:lockout:{kind}" for kind in (f"both:{who}:{address}", f"address:{address}", f"user:{who}")]


def _known(keys: list[str]) -> str:
    return f"{keys[0]}:known"


def attempt_begin(address: str, username: str) -> int:
    """Counts an attempt as failed until `success_note` says otherwise; returns the seconds it has to wait,
    and then it does not count. Raises redis.RedisError when Redis is away.
    """
    keys, limit = _keys(address, username), settings.NMS_LOGIN_FAILURES
    shared = limit * SHARED_FACTOR
    is_known = int(redis_client().exists(_known(keys)))
    args = [
        *(limit, LONGEST_SECONDS, 0),
        *(shared, LONGEST_SHARED_SECONDS, 0),
        *(shared, LONGEST_SHARED_SECONDS, is_known),
        *(FIRST_SECONDS, FORGET_SECONDS),
    ]
    return math.ceil(int(SCRIPT(keys=keys, args=args, client=redis_client())) / 1_000)


def wait_seconds(address: str, username: str) -> int:
    """How long this login has to wait now; 0 if it may be tried."""
    keys = _keys(address, username)
    pipe = redis_client().pipeline(transaction=False)
    for key in keys:
        pipe.pttl(f"{key}:locked")
    pipe.exists(_known(keys))
    *left, is_known = map(int, pipe.execute())
    return max(0, *(math.ceil(each / 1_000) for each in (left[:2] if is_known else left)))


def success_note(address: str, username: str) -> None:
    """Forgets this user's failures from this address, and takes back what the attempt counted for others."""
    keys = _keys(address, username)
    pipe = redis_client().pipeline()
    pipe.delete(keys[0], f"{keys[0]}:locked")
    pipe.set(_known(keys), 1, ex=KNOWN_SECONDS)
    for key in keys[1:]:
        pipe.decr(key)
    counts = pipe.execute()[-2:]
    free = [
        f"{key}:locked"
        for key, count in zip(keys[1:], counts, strict=True)
        if int(count) < settings.NMS_LOGIN_FAILURES * SHARED_FACTOR
    ]
    if free:
        redis_client().delete(*free)


class LockoutHandler(AxesBaseHandler):  # type: ignore[misc]  # axes has no types
    """What django-axes calls."""

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        """Asked once for each attempt, before its password is looked at."""
        return attempt_begin(client_address(request), _username(credentials)) > 0

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        if request is None:
            return
        seconds = wait_seconds(client_address(request), _username(credentials))
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
    if request.path_info.startswith(("/admin/", "/api-auth/")):
        return HttpResponse(message, status=429, headers=headers, content_type="text/plain; charset=utf-8")
    return JsonResponse(error_body(429, message), status=429, headers=headers)
