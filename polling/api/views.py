"""Endpoints of polling."""

from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.utils import extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import ScrapeTokenAuthentication
from devices.models import CredentialProfile, Device
from devices.services import database_now
from metrics.api.ranges import DeviceSlotsView, plan_asked, plan_fields, validated
from metrics.api.serializers import StepQuerySerializer
from nms_project.api import FileNegotiation
from nms_project.queues import queue_names
from polling.api.serializers import (
    AvailabilitySerializer,
    CredentialTestedSerializer,
    CredentialTestSerializer,
    DayRangeSerializer,
    ExplanationSerializer,
    FleetHourSerializer,
    HistorySerializer,
    LastValuesQuerySerializer,
    PingSeriesSerializer,
    SchedulerSerializer,
    VerdictQuerySerializer,
    VerdictSerializer,
)
from polling.availability import availability
from polling.backlog import queue_lengths
from polling.explain import device_explain
from polling.fleet import fleet_hours, lateness, schedule_state
from polling.last_values import last_values
from polling.models import Verdict
from polling.outages import MonitoredTime
from polling.ping_series import ping_series
from polling.telemetry import system_text
from polling.trial import credential_try
from polling.upkeep import levels_state, tables_state
from polling.verdict_rollups import VERDICTS, Tally


class CredentialTestView(GenericAPIView[CredentialProfile]):
    """Tries a credential on one target and says what came of it."""

    queryset = CredentialProfile.objects.all()
    serializer_class = CredentialTestSerializer
    needs = "devices.use_credentialprofile"

    @extend_schema(responses=CredentialTestedSerializer)
    def post(self, request: Request, pk: str) -> Response:
        """One poll, by a poll worker, with its result in words. Nothing is stored; a refused login counts."""
        profile = get_object_or_404(self.get_queryset(), pk=pk)
        form = CredentialTestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        target, port = form.validated_data["target"], form.validated_data.get("port")
        return Response(asdict(credential_try(profile=profile, target=target, port=port)))


class DeviceVerdictsView(DeviceSlotsView[Verdict]):
    """The ledger of a device."""

    queryset = Verdict.objects.all()
    serializer_class = VerdictSerializer
    query_serializer = VerdictQuerySerializer

    def narrowed(self, found: QuerySet[Verdict], query: dict[str, Any]) -> QuerySet[Verdict]:
        return found.filter(kind__in=query["kind"]) if query.get("kind") else found

    @extend_schema(parameters=[VerdictQuerySerializer])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Every slot of the range with its verdict, newest first; the last day by default."""
        return super().get(request, *args, **kwargs)


def completeness_fields(tally: Tally) -> dict[str, Any]:
    """CompletenessSerializer's."""
    return {"due": tally.due, "answered": tally.answered, "missing": tally.missing, "verdicts": tally}


def time_fields(time: MonitoredTime | None) -> dict[str, Any]:
    """MonitoredTimeSerializer's."""
    return {
        "availability_percent": time and time.percent,
        "monitored_seconds": time and time.monitored,
        "outage_seconds": time and time.outage,
    }


class DeviceAvailabilityView(APIView):
    """How long a device was up, and when it was down."""

    needs = "polling.view_verdict"

    @extend_schema(parameters=[DayRangeSerializer], responses=AvailabilitySerializer)
    def get(self, request: Request, pk: str) -> Response:
        """Availability and outages of a range, the last day by default; the newest 1,000 outages are listed.

        Availability is 1 − outage seconds / monitored seconds. A device that its failures deactivated is down
        until it answers again or a person ends it; one that a person deactivated, or that waits to be
        provisioned, is not monitored.
        """
        device = get_object_or_404(Device.objects.all(), pk=pk)
        now = database_now()
        query = validated(DayRangeSerializer, request.query_params, now)
        found = availability(device_id=device.pk, start=query["start"], end=query["end"], now=now)
        return Response(
            {
                "device_id": device.pk,
                "start": found.start,
                "end": found.end,
                **time_fields(found.time),
                "poll_success_percent": found.poll_success_percent,
                **completeness_fields(found.verdicts),
                "outages": [asdict(outage) for outage in found.outages],
            }
        )


class DeviceExplainView(APIView):
    """Why a device is polled, or is not."""

    needs = "polling.view_verdict"

    @extend_schema(responses=ExplanationSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """Status and reason, next slot and lease, counted failures, the newest verdicts, and all of it in
        words.
        """
        devices = Device.objects.select_related("poll_state", "credential_profile")
        device = get_object_or_404(devices, pk=pk)
        found = device_explain(device, database_now())
        state, failures = device.poll_state, found.failures
        return Response(
            {
                "device_id": device.pk,
                "status": device.status,
                "status_reason": device.status_reason,
                "status_since": device.status_since,
                "is_polled": found.is_polled,
                "reasons": found.reasons,
                "polling_interval_seconds": device.polling_interval_seconds,
                "next_poll_at": state.next_poll_at,
                "lease_due_at": state.lease_due_at,
                "leased_until": state.leased_until,
                "failures": failures and {"threshold": settings.NMS_FAILURE_THRESHOLD, **asdict(failures)},
                "verdicts": VerdictSerializer(found.verdicts, many=True).data,
            }
        )


class DevicePingView(APIView):
    """Round-trip time and loss of a device."""

    needs = "polling.view_verdict"

    @extend_schema(parameters=[StepQuerySerializer], responses=PingSeriesSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """In steps, oldest first."""
        device = get_object_or_404(Device.objects.all(), pk=pk)
        now = database_now()
        query = validated(StepQuerySerializer, request.query_params, now)
        plan = plan_asked(query, device, VERDICTS, now)
        points = ping_series(device_id=device.pk, pieces=plan.pieces, step=plan.step)
        return Response(
            {"device_id": device.pk, **plan_fields(plan), "points": [asdict(point) for point in points]}
        )


class CompletenessView(APIView):
    """How much of what was due was answered, and how long devices were up, over all of them."""

    needs = "polling.view_verdict"

    @extend_schema(parameters=[DayRangeSerializer], responses=FleetHourSerializer(many=True))
    def get(self, request: Request) -> Response:
        """One row for each hour of the range, over all devices; the last day by default."""
        now = database_now()
        query = validated(DayRangeSerializer, request.query_params, now)
        hours = fleet_hours(start=query["start"], end=query["end"], now=now)
        return Response(
            [
                {
                    "start": hour.start,
                    "is_finished": hour.is_finished,
                    **time_fields(hour.time),
                    **completeness_fields(hour.verdicts),
                }
                for hour in hours
            ]
        )


class SchedulerView(APIView):
    """The scheduler at this moment."""

    needs = "polling.view_verdict"

    @extend_schema(responses=SchedulerSerializer)
    def get(self, request: Request) -> Response:
        """What is due and not claimed, how late polls began of late, and what waits in the queues."""
        now = database_now()
        return Response(
            {
                **asdict(schedule_state(now)),
                "now": now,
                "lateness": [{"seconds": bound, "polls": polls} for bound, polls in lateness(now)],
                "queues": queue_lengths(queue_names()),
            }
        )


class HistoryView(APIView):
    """What history there is."""

    needs = "polling.view_verdict"

    @extend_schema(responses=HistorySerializer)
    def get(self, request: Request) -> Response:
        """Tables with their limits and sizes, and how far each level of the rollups has come."""
        now = database_now()
        return Response(
            {
                "now": now,
                "tables": [asdict(table) for table in tables_state()],
                "levels": [
                    {
                        "ladder": ladder,
                        "level": state.level.name,
                        "done_until": state.done_until,
                        "intervals_behind": state.behind,
                        "intervals_late": state.late,
                    }
                    for ladder, state in levels_state(now)
                ],
            }
        )


class SystemMetricsView(APIView):
    """The system itself, for Prometheus."""

    needs = "polling.view_verdict"
    content_negotiation_class = FileNegotiation

    authentication_classes = (ScrapeTokenAuthentication, *APIView.authentication_classes)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(system_text(database_now()), content_type=CONTENT_TYPE_LATEST)


class LastValuesView(APIView):
    """The newest values of the devices, for Prometheus."""

    needs = "metrics.view_sample"
    content_negotiation_class = FileNegotiation

    authentication_classes = (ScrapeTokenAuthentication, *APIView.authentication_classes)

    @extend_schema(exclude=True)
    def get(self, request: Request) -> StreamingHttpResponse:
        now = database_now()
        query = validated(LastValuesQuerySerializer, request.query_params, now)
        return StreamingHttpResponse(last_values(query["path"], now), content_type=CONTENT_TYPE_LATEST)
