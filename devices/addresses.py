"""Which addresses may be a host's."""

from ipaddress import ip_address, ip_network

from django.core.exceptions import ValidationError

# The unspecified addresses, multicast, broadcast: what is sent there is answered by nobody, or by everybody.
NO_HOSTS = tuple(
    ip_network(network) for network in ("0.0.0.0/32", "224.0.0.0/4", "255.255.255.255", "::", "ff00::/8")
)
SCOPED = "Must have no scope (%): it has a meaning on one machine only."


def host_address_check(address: str) -> None:
    """Raises ValidationError; says nothing of what is no address at all, which a field itself refuses."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return
    if any(parsed in network for network in NO_HOSTS):
        raise ValidationError(f"{address} is no host's address: it is unspecified, multicast or broadcast.")
