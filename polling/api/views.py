"""Endpoints of polling."""

from dataclasses import asdict

from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from devices.models import CredentialProfile
from polling.api.serializers import CredentialTestedSerializer, CredentialTestSerializer
from polling.trial import credential_try


class CredentialTestView(GenericAPIView[CredentialProfile]):
    """Tries a credential on one target and says what came of it."""

    queryset = CredentialProfile.objects.all()
    serializer_class = CredentialTestSerializer

    @extend_schema(responses=CredentialTestedSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """One poll, by a poll worker, with its result in words. Nothing is stored; a refused login counts."""
        profile = get_object_or_404(self.get_queryset(), pk=pk)
        form = CredentialTestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        target, port = form.validated_data["target"], form.validated_data.get("port")
        return Response(asdict(credential_try(profile=profile, target=target, port=port)))
