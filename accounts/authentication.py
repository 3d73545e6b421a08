"""How a request says who it is: a personal API token, a JWT of a session that still counts, or the token with
which Prometheus reads.
"""

import hmac
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.tokens import Token

from accounts.models import ApiToken
from accounts.roles import VIEWER
from accounts.sessions import SESSION_ENDED, session_user
from accounts.tokens import PREFIX, token_find


def _bearer(request: Request) -> str | None:
    kind, _, token = get_authorization_header(request).partition(b" ")
    return token.strip().decode("latin-1") if kind.lower() == b"bearer" else None


class ApiTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer nms_…`"""

    def authenticate(self, request: Request) -> tuple[Any, ApiToken] | None:
        text = _bearer(request)
        if text is None or not text.startswith(PREFIX):
            return None
        token = token_find(text)
        if token is None:
            raise AuthenticationFailed("The API token is unknown, has expired or was revoked.")
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'


class SessionJWTAuthentication(JWTAuthentication):
    """SimpleJWT's, for tokens of a session that has not been ended since."""

    def get_raw_token(self, header: bytes) -> bytes | None:
        """The scheme's name has no case (RFC 9110, section 11.1)."""
        kind, blank, rest = header.partition(b" ")
        return super().get_raw_token(b"Bearer" + blank + rest if kind.lower() == b"bearer" else header)

    def get_user(self, validated_token: Token) -> Any:
        user = session_user(validated_token.payload)
        if user is None:
            raise InvalidToken({"detail": SESSION_ENDED})
        return user


class Scraper(AnonymousUser):
    """Whoever has Prometheus's token: no row, a viewer for the views that take it."""

    @property
    def is_authenticated(self) -> bool:  # type: ignore[override]  # a constant there
        return True

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        return perm in VIEWER


class ScrapeTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer …` with NMS_PROMETHEUS_TOKEN; anything else is left to the other ways to log
    in.
    """

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        text, wanted = _bearer(request), settings.NMS_PROMETHEUS_TOKEN
        if text is None or not wanted or not hmac.compare_digest(text.encode(), wanted.encode()):
            return None
        return Scraper(), None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"
