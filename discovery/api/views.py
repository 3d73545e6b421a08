"""Endpoints of discovery profiles and their runs."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import Http404
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.generics import ListAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet

from discovery.api.serializers import (
    DiscoveryProfileSerializer,
    DiscoveryResultSerializer,
    DiscoveryRowSerializer,
    DiscoveryRunSerializer,
    RunStartedSerializer,
)
from discovery.models import DiscoveryProfile, DiscoveryResult, DiscoveryRun
from discovery.selectors import runs_with_progress
from discovery.services import profile_delete, run_start
from discovery.transfer import DiscoveryProfileTable
from nms_project.api import KeepingPut
from nms_project.filters import IdFilter, IntegerFilter, YesOrNoFilter
from nms_project.transfer.api import TableViews, table_schema


class DiscoveryProfileFilter(filters.FilterSet):
    port = IntegerFilter()
    credential_profile_id = IdFilter()
    auto_provision = YesOrNoFilter()

    class Meta:
        model = DiscoveryProfile
        fields: ClassVar[list[str]] = []


class DiscoveryRunFilter(filters.FilterSet):
    profile_id = IdFilter()

    class Meta:
        model = DiscoveryRun
        fields = ("status",)


PROFILE_TABLE = DiscoveryProfileTable()


@table_schema(PROFILE_TABLE, DiscoveryRowSerializer)
class DiscoveryProfileViewSet(KeepingPut, TableViews, ModelViewSet[DiscoveryProfile]):
    """What to look for, where, and what becomes of it."""

    table = PROFILE_TABLE

    queryset = DiscoveryProfile.objects.prefetch_related("fallback_credentials")
    serializer_class = DiscoveryProfileSerializer
    filterset_class = DiscoveryProfileFilter
    search_fields = ("name", "target")
    ordering_fields = ("id", "name", "created_at", "updated_at")
    action_needs: ClassVar = {
        "run": "discovery.add_discoveryrun",
        "export_table": "discovery.view_discoveryprofile",
        "import_table": "discovery.add_discoveryprofile",
    }

    def perform_destroy(self, instance: DiscoveryProfile) -> None:
        if not profile_delete(profile_id=instance.pk):
            raise Http404  # deleted since it was read

    @extend_schema(request=None, responses={202: RunStartedSerializer})
    @action(detail=True, methods=["post"])
    def run(self, request: Request, pk: str) -> Response:
        """Starts a discovery run; follow it at discovery_runs/{run_id}."""
        profile = self.get_object()
        run = run_start(profile)
        body = {"message": "discovery started", "profile_id": profile.pk, "run_id": run.pk}
        return Response(body, status=202)


class DiscoveryRunViewSet(ReadOnlyModelViewSet[DiscoveryRun]):
    """Runs and their progress."""

    queryset = DiscoveryRun.objects.all()
    serializer_class = DiscoveryRunSerializer
    filterset_class = DiscoveryRunFilter
    ordering_fields = ("id", "created_at", "finished_at")

    def get_queryset(self) -> QuerySet[DiscoveryRun]:
        return super().get_queryset() if self.action == "list" else runs_with_progress()

    def paginate_queryset(self, queryset: Any) -> Any:
        """The progress is counted for the runs of the page only, not for all that there are."""
        page: list[DiscoveryRun] = super().paginate_queryset(queryset) or []
        progress = runs_with_progress().in_bulk([run.pk for run in page])
        return [progress[run.pk] for run in page if run.pk in progress]


class DiscoveryResultListView(ListAPIView[DiscoveryResult]):
    """One row for each address of a run that is done."""

    queryset = DiscoveryResult.objects.all()
    serializer_class = DiscoveryResultSerializer
    filterset_fields = ("outcome", "error_code")
    ordering_fields = ("id", "target", "outcome")

    def get_queryset(self) -> QuerySet[DiscoveryResult]:
        run = get_object_or_404(DiscoveryRun, pk=self.kwargs["run_id"])
        return super().get_queryset().filter(run=run)
