"""Shapes of accounts on the wire, and the tokens of a login."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from django.db import transaction
from django.db.models.functions import Now
from rest_framework import serializers
from rest_framework_simplejwt.exceptions import InvalidToken, TokenBackendError
from rest_framework_simplejwt.serializers import (
    TokenObtainPairSerializer,
    TokenRefreshSerializer,
    TokenVerifySerializer,
)
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken, Token, UntypedToken

from accounts.client import client_address
from accounts.lockout import success_note
from accounts.models import ApiToken, RotatedToken
from accounts.roles import Role
from accounts.sessions import SESSION_CLAIM, SESSION_ENDED, session_claim, session_user, sessions_end
from accounts.tokens import BEYOND_LIMIT, is_within_limit
from nms_project.fields import TextField, TimeField

# Two tabs of a browser may refresh at once; later than that it is somebody else who has the token.
REUSE_GRACE = timedelta(seconds=10)


class LoginSerializer(TokenObtainPairSerializer):
    """SimpleJWT's, whose tokens say to which session they belong."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].trim_whitespace = False  # type: ignore[attr-defined]  # SimpleJWT's, a CharField

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        # django-axes wants Django's request: it marks it for its middleware.
        request = self.context["request"]._request
        self._context = {**self.context, "request": request}
        answer: dict[str, str] = super().validate(attrs)
        success_note(client_address(request), attrs[self.username_field])
        return answer

    @classmethod
    def get_token(cls, user: Any) -> Token:
        token = super().get_token(user)
        token[SESSION_CLAIM] = session_claim(user)
        return token


class TokenSerializer(serializers.Serializer[Any]):
    token = serializers.CharField()


class TokenPairSerializer(serializers.Serializer[Any]):
    access = serializers.CharField(help_text="Sent with each request.")
    refresh = serializers.CharField(help_text="Used once, for the next pair.")


class RefreshSerializer(TokenRefreshSerializer):
    """SimpleJWT's, with each refresh token good for once: one that comes back ends all sessions of its user,
    since either its owner or a thief has used it before.
    """

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        claims = _claims(attrs["refresh"])
        user = session_user(claims)
        if user is None:
            raise InvalidToken({"detail": SESSION_ENDED})
        if _is_used(claims["jti"]):
            sessions_end(user)
            raise InvalidToken({"detail": "The token was used before: all sessions of its user are ended."})
        with transaction.atomic():
            # Of two requests with one token the second waits here, and then finds it used.
            list(OutstandingToken.objects.select_for_update().filter(jti=claims["jti"]))
            answer: dict[str, str] = super().validate(attrs)
            expires_at = datetime.fromtimestamp(claims["exp"], UTC)
            RotatedToken.objects.get_or_create(jti=claims["jti"], defaults={"expires_at": expires_at})
            return answer


class VerifySerializer(TokenVerifySerializer):
    """SimpleJWT's, which does not know that a session was ended, and calls a token that was logged out bad
    input.
    """

    def validate(self, attrs: dict[str, Any]) -> dict[Any, Any]:
        try:
            answer: dict[Any, Any] = super().validate(attrs)
        except serializers.ValidationError:
            raise InvalidToken({"detail": SESSION_ENDED}) from None
        if session_user(UntypedToken(cast("Any", attrs["token"])).payload) is None:
            raise InvalidToken({"detail": SESSION_ENDED})
        return answer


def _claims(text: str) -> dict[str, Any]:
    """Of a token that is genuine and has not expired, used or not."""
    try:
        claims = dict(RefreshToken().get_token_backend().decode(cast("Any", text), verify=True))
    except TokenBackendError as error:
        raise InvalidToken({"detail": str(error)}) from None
    if claims.get("token_type") != RefreshToken.token_type:
        raise InvalidToken({"detail": "This is no refresh token."})
    return claims


def _is_used(jti: str) -> bool:
    return RotatedToken.objects.filter(jti=jti, at__lt=Now() - REUSE_GRACE).exists()


class MeSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    username = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField(), help_text="The groups of the user.")
    is_superuser = serializers.BooleanField()
    permissions = serializers.ListField(
        child=serializers.CharField(), help_text="What this login may do; an API token's scope is applied."
    )
    scope = serializers.CharField(allow_null=True, help_text="Of the API token, if this is one.")
    expires_at = serializers.DateTimeField(allow_null=True, help_text="Of the API token, if this is one.")


class ApiTokenSerializer(serializers.ModelSerializer[ApiToken]):
    class Meta:
        model = ApiToken
        fields = ("id", "name", "scope", "created_at", "expires_at", "last_used_at", "revoked_at")


class ApiTokenCreateSerializer(serializers.Serializer[Any]):
    name = TextField(max_length=128, help_text="What it is for.")
    scope = serializers.ChoiceField(
        choices=Role.choices, default=Role.VIEWER, help_text="The most that can be done with it."
    )
    expires_at = TimeField(required=False, help_text="Default: in 90 days; at most in 366.")

    def validate_expires_at(self, value: datetime) -> datetime:
        if not is_within_limit(value):
            raise serializers.ValidationError(BEYOND_LIMIT)
        return value


class ApiTokenMadeSerializer(ApiTokenSerializer):
    token = serializers.CharField(help_text="Shown this once; only its digest is kept.")

    class Meta(ApiTokenSerializer.Meta):
        fields = (*ApiTokenSerializer.Meta.fields, "token")  # type: ignore[assignment]  # one more
