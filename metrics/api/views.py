"""The metrics endpoint."""

from datetime import timedelta

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from devices.services import database_now
from metrics.api.serializers import MetricQuerySerializer, SeriesSerializer
from metrics.queries import series_query

DEFAULT_RANGE = timedelta(hours=1)


class MetricQueryView(APIView):
    """Values of one path for up to 500 devices, newest first."""

    @extend_schema(request=MetricQuerySerializer, responses=SeriesSerializer(many=True))
    def post(self, request: Request) -> Response:
        form = MetricQuerySerializer(data=request.data)
        form.is_valid(raise_exception=True)
        query = form.validated_data
        now = database_now()
        end = query.get("end", now)
        try:
            start = query.get("start") or end - DEFAULT_RANGE
        except OverflowError:
            raise ValidationError({"end": ["Lies too far back."]}) from None
        if start > end:
            raise ValidationError({"start": ["Must not be after end."]})
        found = series_query(
            device_ids=query["device_ids"],
            path=query["path"],
            start=start,
            end=end,
            limit=query["limit"],
            now=now,
        )
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
