"""What all endpoints share: the shape of errors, pagination, and routes that answer with and without a
trailing slash.
"""

import logging
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, SuspiciousOperation
from django.core.paginator import Page, Paginator
from django.db import DataError, IntegrityError
from django.db.models import ProtectedError
from django.http import Http404, JsonResponse
from psycopg.errors import QueryCanceled
from rest_framework import exceptions
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.pagination import BasePagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import APIRootView, DefaultRouter
from rest_framework.views import APIView, set_rollback

from nms_project.errors import OF_ALL_FIELDS, OUTAGES, NMSError, field_told

logger = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5

CODES = {
    400: "invalid",
    401: "not_authenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    411: "length_required",
    413: "too_large",
    415: "unsupported_media_type",
    429: "throttled",
    503: "unavailable",
}
MESSAGES = {
    400: "The request is not valid.",
    404: "There is no such object.",
    503: "A server this request needs is away. Try again shortly.",
}

TOOK_TOO_LONG = (
    "PostgreSQL was not done within the time that one request may take. Ask for fewer devices, a shorter "
    "range or a smaller page, or try again when it has less to do."
)


class KeepingPut:
    """Have a view set's PUT keep the fields that it leaves out, as PATCH does and existing clients expect."""

    def update(self, request: Request, *arguments: Any, **named: Any) -> Response:
        named["partial"] = True
        answer: Response = super().update(request, *arguments, **named)  # type: ignore[misc]  # DRF's
        return answer


def error_body(status: int, message: str, fields: dict[str, list[str]] | None = None) -> dict[str, Any]:
    error: dict[str, Any] = {"code": CODES.get(status, "error"), "message": message, "status": status}
    if fields:
        error["fields"] = fields
    return {"error": error}


def exception_handler(exception: Exception, context: dict[str, Any]) -> Response | None:
    """Maps every error that a caller can provoke to the one JSON shape; what is left is a bug and stays a
    500.
    """
    if isinstance(exception, OUTAGES):
        set_rollback()
        logger.warning("a request failed, a server is away or slow: %s", type(exception).__name__)
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return Response(error_body(503, _outage_message(exception)), status=503, headers=headers)
    translated = _translate(exception)
    if translated is None:
        return None
    set_rollback()
    status, message, fields, headers = translated
    return Response(error_body(status, message, fields), status=status, headers=headers)


def _translate(
    exception: Exception,
) -> tuple[int, str, dict[str, list[str]] | None, dict[str, str]] | None:
    """(status, message, fields, headers)"""
    match exception:
        case exceptions.ValidationError():
            fields = detail_flatten(exception.detail)
            return 400, _summary(fields), fields, {}
        case exceptions.APIException():
            return exception.status_code, _sentence(exception), None, _headers(exception)
        case Http404():
            return 404, MESSAGES[404], None, {}
        case PermissionDenied():
            return 403, "You may not do this.", None, {}
        case ProtectedError():
            return 409, _still_referenced(exception), None, {}
        case ObjectDoesNotExist():  # deleted since the request began
            return 404, MESSAGES[404], None, {}
        case SuspiciousOperation() | DataError():
            return 400, MESSAGES[400], None, {}
        case IntegrityError():
            return 409, _already_taken(exception), None, {}
        case NMSError():
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if exception.status == 503 else {}
            return exception.status, str(exception), getattr(exception, "fields", None), headers
    return None


def _sentence(exception: exceptions.APIException) -> str:
    detail = exception.detail
    if isinstance(detail, dict):  # SimpleJWT's: {"detail": …, "code": …}
        return str(detail.get("detail", MESSAGES[400]))
    return str(detail)


def _headers(exception: exceptions.APIException) -> dict[str, str]:
    headers = {}
    if getattr(exception, "auth_header", None):
        headers["WWW-Authenticate"] = str(exception.auth_header)  # type: ignore[attr-defined]  # set by DRF's views
    if getattr(exception, "wait", None):
        headers["Retry-After"] = str(int(exception.wait) + 1)  # type: ignore[attr-defined]  # Throttled has it
    return headers


def detail_flatten(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    """DRF's nested details as {"field.inner": [message, …]}."""
    if isinstance(detail, dict):
        flat: dict[str, list[str]] = {}
        for name, inner in detail.items():
            flat.update(detail_flatten(inner, f"{prefix}.{name}" if prefix else str(name)))
        return flat
    messages = detail if isinstance(detail, list) else [detail]
    return {prefix or OF_ALL_FIELDS: [str(message) for message in messages]}


def _summary(fields: dict[str, list[str]]) -> str:
    name, messages = next(iter(fields.items()))
    text = messages[0] if messages else MESSAGES[400]
    return field_told(name, text)


def _still_referenced(exception: ProtectedError) -> str:
    kinds = sorted({str(row._meta.verbose_name) for row in exception.protected_objects})
    return f"It is still used by {len(exception.protected_objects)} object(s): {', '.join(kinds)}."


UNIQUE_MESSAGES = {
    "device_ip_port_unique": "A device with this ip_address and port exists already.",
    "devices_credentialprofile_name": "A credential profile with this name exists already.",
    "discovery_discoveryprofile_name": "A discovery profile with this name exists already.",
}


def _already_taken(exception: IntegrityError) -> str:
    """Says which rule was broken in our words: database text stays in the log."""
    diagnostics = getattr(exception.__cause__, "diag", None)
    constraint = str(getattr(diagnostics, "constraint_name", "") or "")
    for prefix, message in UNIQUE_MESSAGES.items():
        if constraint.startswith(prefix):
            return message
    return "The change conflicts with another object."


def _outage_message(exception: BaseException) -> str:
    return TOOK_TOO_LONG if isinstance(exception.__cause__, QueryCanceled) else MESSAGES[503]


def outage_response(exception: BaseException) -> JsonResponse:
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return JsonResponse(error_body(503, _outage_message(exception)), status=503, headers=headers)


class QuickPaginator(Paginator[Any]):
    """Reads the first page before it counts: one that is not full needs no second search for its count. Rows
    are found and counted by themselves, as an index has them; `read` joins what is shown to the page's own.
    """

    def read(self, rows: Any) -> Any:
        """What the serializer takes of a page's queryset."""
        return rows

    def page(self, number: int | str) -> Page[Any]:
        if str(number) != "1":
            page = super().page(number)
            return Page(self._whole(page.object_list), page.number, self)
        rows = list(self._whole(self.object_list[: self.per_page + 1]))
        if len(rows) <= self.per_page:
            self.__dict__["count"] = len(rows)  # where Django's cached property keeps it
        return Page(rows[: self.per_page], 1, self)

    def _whole(self, found: Any) -> Any:
        rows: Any = self.object_list
        return self.read(rows.filter(pk__in=found.values("pk")))


class CheckedPageSize(BasePagination):
    """`page_size` from 1 on. DRF's classes take what is no number for "not given"."""

    page_size_query_param: str | None = "page_size"
    max_page_size: int | None = 1_000

    def get_page_size(self, request: Request) -> int | None:
        sent = request.query_params.get("page_size")
        if sent and not (sent.isascii() and sent.isdecimal() and sent.strip("0")):
            message = "Must be a whole number from 1 on."
            raise exceptions.ValidationError({"page_size": [message]})
        if sent is not None and len(sent.lstrip("0")) > 9:
            return self.max_page_size
        size: int | None = super().get_page_size(request)  # type: ignore[misc]  # the class beside has it
        return size

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        parameters = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["schema"]["type"] == "integer":
                parameter["schema"] = {**parameter["schema"], "minimum": 1}
        return parameters


class PageNumbers(CheckedPageSize, PageNumberPagination):
    django_paginator_class: type[QuickPaginator] = QuickPaginator


class FileNegotiation(DefaultContentNegotiation):
    """What a download is does not depend on what the client says it takes; only its errors do."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except exceptions.NotAcceptable:
            return renderers[0], renderers[0].media_type


ID_PATTERN = "[1-9][0-9]{0,17}"


class RootView(APIRootView):
    """The list of what there is."""

    needs = ""  # a login; see accounts/permissions.py


class SlashOptionalRouter(DefaultRouter):
    """Clients that exist send no trailing slash; DRF's own pages link with one."""

    APIRootView = RootView
    include_format_suffixes = False  # `?format=` says it

    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"

    def get_lookup_regex(self, viewset: Any, lookup_prefix: str = "") -> str:
        """Ids are digits: Python's int takes 1_0, +1 and digits of other scripts too."""
        if getattr(viewset, "lookup_value_regex", None):
            return super().get_lookup_regex(viewset, lookup_prefix)
        name = getattr(viewset, "lookup_url_kwarg", None) or viewset.lookup_field
        return f"(?P<{lookup_prefix}{name}>{ID_PATTERN})"
