"""How many requests a user may make: an allowance for each kind of request, in Redis, shared by all servers.

Without Redis nobody is held up: reading what there is must not depend on it.
"""

from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from accounts.audit import SAFE_METHODS
from accounts.client import client_address
from nms_project.redis_client import lua_script, redis_client

SCRIPT = lua_script(Path(__file__).parent / "lua" / "throttle.lua")
MINUTE_US = 60_000_000
READ, WRITE, QUERY = "read", "write", "query"


def take(who: str, scope: str, per_minute: int) -> float:
    """0 if the request may go on, else the seconds to wait. Raises redis.RedisError when Redis is away."""
    wait_us = SCRIPT(
        keys=[f"nms:throttle:{scope}:{who}"], args=[MINUTE_US // per_minute, MINUTE_US], client=redis_client()
    )
    return int(wait_us) / 1_000_000


class UserThrottle(BaseThrottle):
    """By user, or by address before a login; a view's `throttle_scope` says what kind of request it gets, by
    default that of the method.
    """

    seconds = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        scope = getattr(view, "throttle_scope", None) or (READ if request.method in SAFE_METHODS else WRITE)
        user_id = getattr(request.user, "pk", None)
        who = f"user:{user_id}" if user_id else f"address:{client_address(request._request)}"
        try:
            self.seconds = take(who, scope, settings.NMS_REQUESTS_PER_MINUTE[scope])
        except redis.RedisError:
            return True
        return self.seconds == 0

    def wait(self) -> float:
        return self.seconds
