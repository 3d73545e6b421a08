"""The audit, read: who changed what, when, from where."""

from collections.abc import Iterator
from typing import Any, ClassVar

import orjson
from django.http import StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ReadOnlyModelViewSet

from accounts.models import AuditEntry
from nms_project.api import FileNegotiation
from nms_project.filters import IdFilter, TimeFilter
from nms_project.tables import csv_line, download, formula_quoted

FIELDS = (
    "id",
    "at",
    "actor_id",
    "actor",
    "source",
    "address",
    "action",
    "object_type",
    "object_id",
    "object_name",
    "before",
    "after",
)
ROWS_AT_A_TIME = 1_000


class AuditEntrySerializer(ModelSerializer[AuditEntry]):
    class Meta:
        model = AuditEntry
        fields = FIELDS


class AuditFilter(filters.FilterSet):
    actor_id = IdFilter()
    start = TimeFilter(field_name="at", lookup_expr="gte")
    end = TimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditEntry
        fields = ("actor", "source", "action", "object_type", "object_id")


class AuditViewSet(ReadOnlyModelViewSet[AuditEntry]):
    """Who changed what, when, from where, before and after; newest first. Nothing changes an entry."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilter
    search_fields = ("object_name", "actor")
    ordering_fields = ("id", "at")
    action_needs: ClassVar = {"export": "accounts.view_auditentry"}

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.BINARY})
    @action(detail=False, content_negotiation_class=FileNegotiation)
    def export(self, request: Request) -> StreamingHttpResponse:
        """The entries of the same filters as CSV, oldest first."""
        found = self.filter_queryset(self.get_queryset()).order_by("id")
        return download(_csv(found), "audit.csv")


def _csv(found: Any) -> Iterator[bytes]:
    """Page by page, so that nothing is held for a slow reader."""
    yield _line(FIELDS)
    last = 0
    while rows := list(found.filter(id__gt=last)[:ROWS_AT_A_TIME].values_list(*FIELDS)):
        yield b"".join(_line([*row[:-2], *map(_json, row[-2:])]) for row in rows)
        last = rows[-1][0]


def _json(value: Any) -> str:
    return "" if value is None else orjson.dumps(value).decode()


def _line(values: Any) -> bytes:
    return csv_line(formula_quoted("" if value is None else str(value)) for value in values)
