"""The token with which Prometheus reads, and nothing else can be done."""

import hmac
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.request import Request


class Scraper(AnonymousUser):
    """Whoever has the token: no row, no rights but those of the views that take it."""

    @property
    def is_authenticated(self) -> bool:  # type: ignore[override]  # a constant there
        return True


class ScrapeTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer …` with NMS_PROMETHEUS_TOKEN; anything else is left to the other ways to log
    in.
    """

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        kind, _, token = get_authorization_header(request).partition(b" ")
        wanted = settings.NMS_PROMETHEUS_TOKEN.encode()
        if not wanted or kind.lower() != b"bearer" or not hmac.compare_digest(token.strip(), wanted):
            return None
        return Scraper(), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
