"""Views that belong to no app: login for clients that exist, the health check, and the last-resort error
pages.
"""

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.exceptions import InvalidToken
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.views import TokenRefreshView

from nms_project.api import error_body


class TokenSerializer(serializers.Serializer[Any]):
    token = serializers.CharField()


class LoginView(APIView):
    """A user name and a password for an access token."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="api"'  # without one DRF would answer 403

    @extend_schema(request=TokenObtainPairSerializer, responses={200: TokenSerializer})
    def post(self, request: Request) -> Response:
        form = TokenObtainPairSerializer(data=request.data, context={"request": request})
        form.is_valid(raise_exception=True)
        return Response({"token": form.validated_data["access"]})


class RefreshView(TokenRefreshView):
    """SimpleJWT's, for which a user deleted meanwhile is a bug."""

    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        try:
            return super().post(request, *args, **kwargs)
        except ObjectDoesNotExist:
            raise InvalidToken({"detail": "The token's user does not exist any more."}) from None


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse(error_body(404, "There is no such route."), status=404)
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    if request.path.startswith("/api/"):
        return JsonResponse(error_body(500, "The server has a bug; its log has the details."), status=500)
    return defaults.server_error(request)
