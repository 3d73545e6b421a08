"""Filter fields that check what they are given before the database sees it, and say what they take."""

import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

from django import forms
from django_filters import rest_framework as filters
from django_filters.fields import IsoDateTimeField
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter, SearchFilter

DIGITS = re.compile(r"[+-]?[0-9]+")
MAX_INTEGER = 2**31 - 1
MAX_ID = 2**63 - 1
ADDRESS_SCHEMA = {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


class FilterBackend(filters.DjangoFilterBackend):
    """django-filter's, which makes a form of all filters for each request: not for one that sends none."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        filterset = self.get_filterset_class(view, queryset)
        if filterset is None or request.query_params.keys().isdisjoint(filterset.base_filters):
            return queryset
        return super().filter_queryset(request, queryset, view)


class TermsFilter(SearchFilter):
    """DRF's search, for terms that say something: a quotation mark alone would find everything.

    Accents of terms are composed, as those of names are.
    """

    def get_search_terms(self, request: Any) -> list[str]:
        given = unicodedata.normalize("NFC", request.query_params.get(self.search_param, "")).strip()
        terms = [unicodedata.normalize("NFC", term) for term in super().get_search_terms(request)]
        return [term for term in terms if term] or ([given] if given else [])


class WholeOrderingFilter(OrderingFilter):
    """Order by the requested fields, and append the primary key so that paging is stable.

    A view's `natural_orders` maps a name to the column that has it in natural order. An unknown field is
    refused: DRF leaves it out, and its answer looks as if it had it.
    """

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> Any:
        ordering: Any = super().get_ordering(request, queryset, view)
        natural: dict[str, str] = getattr(view, "natural_orders", {})
        ordering = ordering and [
            f"{'-' * name.startswith('-')}{natural.get(name.lstrip('-'), name.lstrip('-'))}"
            for name in ordering
        ]
        key = queryset.model._meta.pk.name
        has_key = not ordering or any(name.lstrip("-") in {key, "pk"} for name in ordering)
        return ordering if has_key else [*ordering, key]

    def remove_invalid_fields(self, queryset: Any, fields: Any, view: Any, request: Any) -> Any:
        valid = super().remove_invalid_fields(queryset, fields, view, request)
        unknown = [field for field in fields if field not in valid]
        if unknown:
            message = (
                f"Cannot order by {unknown[0]!r}. Allowed: {', '.join(view.ordering_fields)}. "
                "Prefix with '-' for descending order."
            )
            raise ValidationError({self.ordering_param: [message]})
        return valid

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        one = rf"\s*-?({'|'.join(view.ordering_fields)})\s*"
        (parameter,) = super().get_schema_operation_parameters(view)
        return [{**parameter, "schema": {"type": "string", "pattern": f"^({one}(,{one})*)?$"}}]


class DigitsField(forms.IntegerField):
    """Django's takes what Python's int does, such as 1_0, and a decimal point."""

    def to_python(self, value: Any) -> int | None:
        if value not in self.empty_values and not DIGITS.fullmatch(str(value)):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return super().to_python(value)


@extend_schema_field({"type": "integer", "minimum": 0, "maximum": MAX_INTEGER})
class IntegerFilter(filters.Filter):
    """A whole number of PostgreSQL's integer; django-filter's own takes decimals of any exponent."""

    field_class = DigitsField

    def __init__(self, field_name: str | None = None) -> None:
        super().__init__(field_name=field_name, min_value=0, max_value=MAX_INTEGER)


@extend_schema_field({"type": "integer", "format": "int64", "minimum": 1, "maximum": MAX_ID})
class IdFilter(filters.Filter):
    field_class = DigitsField

    def __init__(self, field_name: str | None = None) -> None:
        super().__init__(field_name=field_name, min_value=1, max_value=MAX_ID)


@extend_schema_field(ADDRESS_SCHEMA)
class AddressFilter(filters.Filter):
    field_class = forms.GenericIPAddressField

    def __init__(self, field_name: str | None = None) -> None:
        super().__init__(field_name=field_name, unpack_ipv4=True)


class TimeField(IsoDateTimeField):
    def to_python(self, value: Any) -> datetime | None:
        """In UTC: PostgreSQL refuses offsets of sixteen hours and more, which RFC 3339 allows."""
        # RFC 3339, section 5.6: t and z may be lower case.
        moment: datetime | None = super().to_python(value.upper() if isinstance(value, str) else value)
        try:
            return moment and moment.astimezone(UTC)
        except OverflowError:
            raise forms.ValidationError("Must be within the years 1 to 9999 in UTC.") from None


class TimeFilter(filters.IsoDateTimeFilter):
    field_class = TimeField


class YesOrNoField(forms.NullBooleanField):
    """Django's takes any text for "not given", and would list everything for `should_ping=ture`."""

    widget = forms.TextInput  # its own widgets do the same
    values = {"true": True, "false": False, "": None}

    def to_python(self, value: Any) -> bool | None:  # type: ignore[override]  # Django's own says so too
        text = str(value if value is not None else "").lower()
        if text not in self.values:
            raise forms.ValidationError("Must be true or false.")
        return self.values[text]


@extend_schema_field({"type": "boolean"})
class YesOrNoFilter(filters.Filter):
    field_class = YesOrNoField
