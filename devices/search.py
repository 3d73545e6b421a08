"""Devices by parts of their names and addresses, and by the networks they are in.

Each term is looked for in Device.search_text, a scan: 20 ms of 100,000 devices, by the index device_search,
which has little else. An index for parts of words (pg_trgm) is an extension that not every server has, and
helps only where few are found.
"""

import unicodedata
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from django.db.models import F, Lookup, Q, QuerySet, Value
from django.db.models.functions import Lower
from rest_framework.request import Request
from rest_framework.views import APIView

from devices.addresses import network_parse
from devices.models import Device
from nms_project.errors import InvalidInput
from nms_project.filters import TermsFilter

MAX_TERMS = 20


class Within(Lookup[bool]):
    lookup_name = "within"

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        left, left_values = self.process_lhs(compiler, connection)
        right, right_values = self.process_rhs(compiler, connection)
        return f"{left} <<= {right}::inet", [*left_values, *right_values]


def devices_search(devices: QuerySet[Device], terms: list[str]) -> QuerySet[Device]:
    """Those that have every term: in the name or the address, in any case, or as the network around it.
    Raises InvalidInput for more than MAX_TERMS.
    """
    wanted = dict.fromkeys(unicodedata.normalize("NFC", term) for term in terms)
    if len(wanted) > MAX_TERMS:
        raise InvalidInput({"search": [f"At most {MAX_TERMS} parts are looked for at once."]})
    return devices.filter(*map(_condition, wanted))


def _condition(term: str) -> Any:
    network = _network(term)
    if network is not None:
        return Within(F("ip_address"), Value(str(network)))
    return Q(search_text__contains=Lower(Value(term)))


def _network(term: str) -> IPv4Network | IPv6Network | None:
    with suppress(ValueError):
        return network_parse(term) if "/" in term and "%" not in term else None
    return None


class DeviceSearchFilter(TermsFilter):
    search_description = "Parts of name or address, or a network such as 10.2.0.0/16; all must hold."

    def filter_queryset(self, request: Request, queryset: Any, view: APIView) -> Any:
        return devices_search(queryset, self.get_search_terms(request))
