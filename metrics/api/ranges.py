"""What the endpoints over a range of time share: its steps, and pages of what a device has in it."""

from datetime import datetime
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.generics import ListAPIView, get_object_or_404
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from devices.models import Device
from devices.services import database_now
from metrics.api.serializers import MAX_POINTS, RangeSerializer
from metrics.levels import Plan, plan_series, step_automatic
from metrics.rollups import Ladder
from nms_project.api import CheckedPageSize

Row = TypeVar("Row", bound=Model)


def validated(form: type[Serializer[Any]], data: Any, now: datetime) -> dict[str, Any]:
    serializer = form(data=data, context={"now": now})
    serializer.is_valid(raise_exception=True)
    fields: dict[str, Any] = serializer.validated_data
    return fields


def plan_asked(query: dict[str, Any], device: Device, ladder: Ladder, now: datetime) -> Plan:
    """For the fields of a StepQuerySerializer."""
    start, end = query["start"], query["end"]
    step = query.get("step") or step_automatic(end - start, device.polling_interval)
    plan = plan_series(start=start, end=end, step=step, now=now, ladder=ladder)
    if (plan.end - plan.start) / plan.step > MAX_POINTS:
        problem = f"Would give more than {MAX_POINTS:,} points: use a longer step or a shorter range."
        raise ValidationError({"step": [problem]})
    return plan


def plan_fields(plan: Plan) -> dict[str, Any]:
    """PlannedSerializer's."""
    return {
        "level": plan.level,
        "start": plan.start,
        "end": plan.end,
        "step_seconds": int(plan.step.total_seconds()),
    }


class SlotPages(CheckedPageSize, CursorPagination):
    """Newest first by the due time, so that pages stay what they are while new rows come in."""

    ordering = "-due_at"
    page_size = 100

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Beyond what DRF checks: the position goes into the statement as a time."""
        cursor = super().decode_cursor(request)
        if cursor is not None and cursor.position is not None:
            try:
                is_time = parse_datetime(str(cursor.position)) is not None
            except ValueError:
                is_time = False
            if not is_time:
                raise NotFound(self.invalid_cursor_message)
        return cursor


class DocumentPages(SlotPages):
    """Of whole documents, which may be large."""

    max_page_size = 200


class DeviceSlotsView(ListAPIView[Row]):
    """The rows of one device in a range of slots; `query_serializer` says which parameters there are."""

    query_serializer: type[RangeSerializer] = RangeSerializer
    pagination_class = SlotPages
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Row]:
        device = get_object_or_404(Device.objects.all(), pk=self.kwargs["device_id"])
        query = validated(self.query_serializer, self.request.query_params, database_now())
        found = super().get_queryset()
        return self.narrowed(
            found.filter(device_id=device.pk, due_at__gte=query["start"], due_at__lte=query["end"]), query
        )

    def narrowed(self, found: QuerySet[Row], query: dict[str, Any]) -> QuerySet[Row]:
        """By what else was asked for."""
        return found
