"""Import and export as actions of a list in the API."""

from collections import Counter
from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from nms_project.api import FileNegotiation
from nms_project.errors import InvalidInput
from nms_project.parsers import BoundedJSONParser
from nms_project.tables import download
from nms_project.transfer.table import CSVText, Outcome, Table, table_check, table_import, table_lines


class CSVParser(BaseParser):
    media_type = "text/csv"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return csv_text(stream.read())


def csv_text(body: bytes) -> CSVText:
    """Raises InvalidInput."""
    try:
        return CSVText(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput({"body": [f"Is no UTF-8, at byte {error.start}."]}) from None


class RowReportSerializer(serializers.Serializer[Any]):
    line = serializers.IntegerField(help_text="From 1 on, without the header.")
    outcome = serializers.ChoiceField(choices=Outcome.choices)
    id = serializers.IntegerField(allow_null=True, help_text="Of the object that was made, or was there.")
    errors = serializers.DictField(  # type: ignore[assignment]  # a field, whatever else has the name
        child=serializers.ListField(child=serializers.CharField()), help_text="What is wrong, by column."
    )


class ImportQuerySerializer(serializers.Serializer[Any]):
    dry_run = serializers.BooleanField(default=False, help_text="Report what would be done, and do nothing.")
    all_or_nothing = serializers.BooleanField(default=False, help_text="One wrong row leaves all undone.")


class ImportReportSerializer(serializers.Serializer[Any]):
    counts = serializers.DictField(child=serializers.IntegerField(), help_text="Rows by outcome.")
    rows = RowReportSerializer(many=True)


class TableViews:
    """`import` and `export` beside a viewset's own routes."""

    table: ClassVar[Table[Any]]

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.BINARY})
    @action(detail=False, url_path="export", url_name="export", content_negotiation_class=FileNegotiation)
    def export_table(self, request: Request) -> Any:
        """Those of the same filters as CSV, which can be imported again."""
        found = self.filter_queryset(self.get_queryset())  # type: ignore[attr-defined]  # a viewset has them
        return download(table_lines(self.table, found), f"{self.table.name}.csv")

    @action(
        detail=False,
        methods=["post"],
        url_path="import",
        url_name="import",
        parser_classes=[BoundedJSONParser, CSVParser],
    )
    def import_table(self, request: Request) -> Response:
        """Adds those of a table, CSV or a JSON list, with a report for each row; what is there keeps its
        settings.
        """
        options = ImportQuerySerializer(data=request.query_params)
        options.is_valid(raise_exception=True)
        reports = table_import(
            self.table,
            table_check(self.table, request.data),
            is_dry_run=options.validated_data["dry_run"],
            is_all_or_nothing=options.validated_data["all_or_nothing"],
        )
        counts = Counter(report.outcome.value for report in reports)
        return Response(ImportReportSerializer({"counts": counts, "rows": reports}).data)


def table_schema(table: Table[Any], row: type[serializers.Serializer[Any]]) -> Any:
    """How OpenAPI describes the import of `table`, whose rows are checked by `row`."""
    csv_body = {"type": "string", "description": f"A header and rows: {', '.join(table.columns)}."}
    described = extend_schema(
        request={"application/json": row(many=True), "text/csv": csv_body},
        parameters=[ImportQuerySerializer],
        responses=ImportReportSerializer,
    )
    return extend_schema_view(import_table=described)
