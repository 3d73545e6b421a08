"""Whose request it is, by address, behind proxies too."""

import ipaddress
from collections.abc import Sequence

from django.conf import settings
from django.http import HttpRequest

from nms_project.env import Network


def client_address(request: HttpRequest) -> str:
    """The address a request came from. Of X-Forwarded-For only what trusted proxies have added counts: from
    the right up to the first address that is none of theirs.
    """
    trusted = settings.NMS_TRUSTED_PROXIES
    address = _plain(str(request.META.get("REMOTE_ADDR", "")))
    hops = [hop.strip() for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
    while hops and _is_within(address, trusted):
        hop = _plain(hops.pop())
        if not _is_address(hop):
            break
        address = hop
    return address


def _is_within(address: str, trusted: Sequence[Network]) -> bool:
    # A proxy on a Unix socket has no address; nobody else can connect there.
    if not address:
        return bool(trusted)
    return _is_address(address) and any(ipaddress.ip_address(address) in network for network in trusted)


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return getattr(address, "scope_id", None) is None  # of any length, and of no meaning to others


def _plain(text: str) -> str:
    """As IPv4 what a socket for both shows as ::ffff:10.0.0.1."""
    mapped = ipaddress.ip_address(text) if _is_address(text) else None
    inner = getattr(mapped, "ipv4_mapped", None)
    return text if inner is None else str(inner)
