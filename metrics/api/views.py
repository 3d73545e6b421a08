"""Endpoints of the metrics app."""

from dataclasses import asdict
from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.throttles import QUERY
from devices.models import Device
from devices.selectors import slots_expected
from devices.services import database_now
from metrics.api.ranges import DeviceSlotsView, DocumentPages, plan_asked, plan_fields, validated
from metrics.api.serializers import (
    DeviceSeriesQuerySerializer,
    DeviceSeriesSerializer,
    ExportQuerySerializer,
    KnownPathSerializer,
    MetricQuerySerializer,
    PathsQuerySerializer,
    RangeSerializer,
    SampleSerializer,
    SeriesSerializer,
    TopQuerySerializer,
    TopSerializer,
)
from metrics.export import Export, Form, export_lines
from metrics.models import Sample
from metrics.paths import device_paths, fleet_paths, path_text
from metrics.queries import MAX_CHARACTERS, Freshness, TooMuch, freshness_of, series_query
from metrics.sample_rollups import SAMPLES
from metrics.series import Aggregation, device_series
from metrics.top import devices_top, plan_top
from nms_project.api import FileNegotiation
from nms_project.tables import CSV_TYPE, download

TOO_MUCH = (
    f"The answer would have more than {MAX_CHARACTERS // 1_000_000} MB: ask for a path rather than whole "
    "documents, for fewer devices, a shorter range or a lower limit."
)


class MetricQueryView(APIView):
    """Values of one path for up to 500 devices, newest first."""

    needs = "metrics.view_sample"
    throttle_scope = QUERY

    @extend_schema(request=MetricQuerySerializer, responses=SeriesSerializer(many=True))
    def post(self, request: Request) -> Response:
        now = database_now()
        query = validated(MetricQuerySerializer, request.data, now)
        try:
            found = series_query(**query, now=now)
        except TooMuch:
            raise ValidationError({"limit": [TOO_MUCH]}) from None
        return Response(
            [
                {
                    "device_id": series.device_id,
                    "results": [{"timestamp": moment, "value": value} for moment, value in series.points],
                    "as_of": series.as_of,
                    "stale": series.is_stale,
                }
                for series in found
            ]
        )


class DeviceMetricsView(APIView):
    """Series of one device, in steps."""

    needs = "metrics.view_sample"
    throttle_scope = QUERY

    @extend_schema(parameters=[DeviceSeriesQuerySerializer], responses=DeviceSeriesSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """Downsampled values of some paths, oldest first; rollups answer long ranges, and the answer says
        which.
        """
        device = get_object_or_404(Device.objects.all(), pk=pk)
        now = database_now()
        query = validated(DeviceSeriesQuerySerializer, request.query_params, now)
        plan = plan_asked(query, device, SAMPLES, now)
        aggregation = Aggregation(query["agg"])
        got, series = device_series(
            device_id=device.pk, paths=query["path"], plan=plan, aggregation=aggregation
        )
        freshness = freshness_of([device.pk], now).get(device.pk, Freshness())
        return Response(
            {
                "device_id": device.pk,
                **plan_fields(plan),
                "agg": aggregation.value,
                "as_of": freshness.as_of,
                "stale": freshness.is_stale,
                "expected": slots_expected(device, plan.start, plan.end),
                "got": got,
                "series": [asdict(each) for each in series],
            }
        )


class DeviceSamplesView(DeviceSlotsView[Sample]):
    """The samples of a device as they were stored."""

    queryset = Sample.objects.all()
    serializer_class = SampleSerializer
    pagination_class = DocumentPages

    @extend_schema(parameters=[RangeSerializer])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Whole documents, newest first, by cursor; the last hour by default."""
        return super().get(request, *args, **kwargs)


class MetricPathsView(APIView):
    """The numeric paths of a device, or of all."""

    needs = "metrics.view_sample"
    throttle_scope = QUERY

    @extend_schema(parameters=[PathsQuerySerializer], responses=KnownPathSerializer(many=True))
    def get(self, request: Request) -> Response:
        now = database_now()
        query = validated(PathsQuerySerializer, request.query_params, now)
        if "device_id" in query:
            device = get_object_or_404(Device.objects.all(), pk=query["device_id"])
            known = device_paths(device.pk, now)
        else:
            known = fleet_paths(now)
        return Response([asdict(path) for path in known])


CONTENT_TYPES = {Form.CSV: CSV_TYPE, Form.NDJSON: "application/x-ndjson"}


class MetricExportView(APIView):
    """Any range of samples or rollups, streamed."""

    needs = "metrics.view_sample"
    content_negotiation_class = FileNegotiation
    throttle_scope = QUERY

    @extend_schema(
        parameters=[ExportQuerySerializer],
        responses={(200, kind.split(";")[0]): OpenApiTypes.BINARY for kind in CONTENT_TYPES.values()},
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """CSV or newline-delimited JSON, up to now, the last hour by default. Rows come by day (of 1h by
        month, of 1d by year), then by device and time.
        """
        now = database_now()
        query = validated(ExportQuerySerializer, request.query_params, now)
        export = Export(
            form=Form(query["output"]),
            level=query["level"],
            start=query["start"],
            end=min(query["end"], now),
            device_ids=query.get("device_id"),
            paths=query["path"],
        )
        filename = f"metrics-{export.level}.{export.form}"
        return download(export_lines(export), filename, CONTENT_TYPES[export.form])


class MetricTopView(APIView):
    """The devices that have the most, or the least, of something."""

    needs = "metrics.view_sample"
    throttle_scope = QUERY

    @extend_schema(request=TopQuerySerializer, responses=TopSerializer)
    def post(self, request: Request) -> Response:
        now = database_now()
        query = validated(TopQuerySerializer, request.data, now)
        plan = plan_top(start=query["start"], end=query["end"], now=now)
        ranked = devices_top(
            plan=plan,
            path=query["path"],
            aggregation=Aggregation(query["agg"]),
            limit=query["limit"],
            is_descending=query["order"] == "desc",
            device_ids=query.get("device_ids"),
        )
        return Response(
            {
                "level": plan.level,
                "start": plan.start,
                "end": plan.end,
                "path": path_text(query["path"]),
                "agg": query["agg"],
                "results": [asdict(each) for each in ranked],
            }
        )
