"""Reads of devices for other apps."""

from collections.abc import Sequence

from devices.models import Device


def remembered_by_address(addresses: Sequence[str], port: int) -> dict[str, dict[str, str]]:
    """What plugins remember of the devices at these addresses; one query."""
    rows = Device.objects.filter(ip_address__in=addresses, port=port).exclude(remembered={})
    return {str(address): dict(facts) for address, facts in rows.values_list("ip_address", "remembered")}
