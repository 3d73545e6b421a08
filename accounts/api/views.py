"""Endpoints of accounts: logins, who one is, and personal API tokens."""

from datetime import timedelta
from typing import Any, cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet
from rest_framework_simplejwt.views import TokenBlacklistView, TokenObtainPairView, TokenVerifyView

from accounts.api import schema  # noqa: F401  (registers itself)
from accounts.api.serializers import (
    ApiTokenCreateSerializer,
    ApiTokenMadeSerializer,
    ApiTokenSerializer,
    LoginSerializer,
    MeSerializer,
    TokenPairSerializer,
    TokenSerializer,
)
from accounts.models import ApiToken
from accounts.permissions import A_LOGIN, InteractivePermission, is_allowed
from accounts.sessions import sessions_end
from accounts.tokens import DEFAULT_DAYS, token_make, token_revoke


class LoginView(APIView):
    """A user name and a password for an access token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'  # without one DRF would answer 403

    @extend_schema(request=LoginSerializer, responses={200: TokenSerializer})
    def post(self, request: Request) -> Response:
        form = LoginSerializer(data=request.data, context={"request": request})
        form.is_valid(raise_exception=True)
        return Response({"token": form.validated_data["access"]})


@extend_schema_view(post=extend_schema(responses={200: TokenPairSerializer}))
class TokenPairView(TokenObtainPairView):
    """A user name and a password for an access token and a refresh token."""


@extend_schema_view(post=extend_schema(responses={200: OpenApiTypes.OBJECT}))
class VerifyView(TokenVerifyView):
    """Whether a token counts: an empty object, or 401."""


@extend_schema_view(post=extend_schema(responses={200: OpenApiTypes.OBJECT}))
class LogoutView(TokenBlacklistView):
    """A refresh token that is good for nothing from now on; an empty object."""


class MeView(APIView):
    """Who one is, and what one may do."""

    needs = A_LOGIN

    @extend_schema(responses=MeSerializer)
    def get(self, request: Request) -> Response:
        user, token = request.user, request.auth if isinstance(request.auth, ApiToken) else None
        allowed = [name for name in sorted(user.get_all_permissions()) if is_allowed(user, token, name)]
        return Response(
            {
                "id": user.pk,
                "username": user.get_username(),
                "roles": list(user.groups.order_by("name").values_list("name", flat=True)),
                "is_superuser": user.is_superuser,
                "permissions": allowed,
                "scope": token.scope if token else None,
                "expires_at": token.expires_at if token else None,
            }
        )


class LogoutEverywhereView(APIView):
    """Ends every session of one's own."""

    permission_classes = (InteractivePermission,)

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """All access and refresh tokens and all logins of browsers; API tokens stay."""
        sessions_end(request.user)
        return Response(status=204)


class ApiTokenViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, GenericViewSet[ApiToken]
):
    """One's own API tokens."""

    queryset = ApiToken.objects.all()
    serializer_class = ApiTokenSerializer
    permission_classes = (InteractivePermission,)
    filterset_fields = ("scope",)
    search_fields = ("name",)
    ordering_fields = ("id", "name", "created_at", "expires_at", "last_used_at")

    def get_queryset(self) -> QuerySet[ApiToken]:
        return super().get_queryset().filter(user=cast("User", self.request.user))

    @extend_schema(request=ApiTokenCreateSerializer, responses={201: ApiTokenMadeSerializer})
    def create(self, request: Request) -> Response:
        """Makes a token; the answer is the one place where it is shown."""
        form = ApiTokenCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        fields: dict[str, Any] = {
            "expires_at": timezone.now() + timedelta(days=DEFAULT_DAYS),
            **form.validated_data,
        }
        token, text = token_make(user=request.user, **fields)
        return Response({**ApiTokenSerializer(token).data, "token": text}, status=201)

    def perform_destroy(self, instance: ApiToken) -> None:
        """Revoked, not deleted: what it did stays its own."""
        token_revoke(instance)
