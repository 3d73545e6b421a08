"""Which addresses may be a host's, and networks as people write them."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

from django.core.exceptions import ValidationError

# The unspecified addresses, multicast, broadcast: what is sent there is answered by nobody, or by everybody.
NO_HOSTS = tuple(
    ip_network(network) for network in ("0.0.0.0/32", "224.0.0.0/4", "255.255.255.255", "::", "ff00::/8")
)
SCOPED = "Must have no scope (%): it has a meaning on one machine only."


PREFIX = re.compile(r"0|[1-9][0-9]{0,2}")


def network_parse(text: str) -> IPv4Network | IPv6Network:
    """Return the network around an address with a prefix length, or with an IPv4 netmask.

    Raise ValueError for anything else that ipaddress takes: host masks (0.0.0.255), leading zeros, digits of
    other scripts. What they mean is not what everybody means by them.
    """
    address, slash, prefix = text.partition("/")
    if slash and not PREFIX.fullmatch(prefix):
        mask = int(IPv4Address(prefix))
        if mask | (mask - 1) != 2**32 - 1:  # not ones and then zeros
            raise ValueError(f"{prefix!r} is not a netmask")
    return ip_network(text, strict=False)


def host_address_check(address: str) -> None:
    """Raises ValidationError; says nothing of what is no address at all, which a field itself refuses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return
    if any(parsed in network for network in NO_HOSTS):
        raise ValidationError(f"{address} is no host's address: it is unspecified, multicast or broadcast.")
