"""Filter fields that check what they are given before the database sees it."""

from django import forms
from django_filters import rest_framework as filters


class IntegerFilter(filters.Filter):
    """A whole number of PostgreSQL's integer; django-filter's own takes decimals of any exponent."""

    field_class = forms.IntegerField

    def __init__(self, field_name: str | None = None) -> None:
        super().__init__(field_name=field_name, min_value=0, max_value=2**31 - 1)


class IdFilter(filters.Filter):
    field_class = forms.IntegerField

    def __init__(self, field_name: str | None = None) -> None:
        super().__init__(field_name=field_name, min_value=1, max_value=2**63 - 1)


class AddressFilter(filters.Filter):
    field_class = forms.GenericIPAddressField
