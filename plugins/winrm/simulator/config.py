"""What a fleet of simulated hosts looks like."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_network
from typing import Any


@dataclass(frozen=True, slots=True)
class FleetConfig:
    """`count` hosts from the first host address of `network` on, which must lie in 127.0.0.0/8."""

    network: str = "127.20.0.0/16"
    count: int = 1
    port: int = 5985
    control: str = "127.0.0.1"
    control_port: int = 0  # 0: any free one, printed at start
    username: str = "monitor"
    password: str = field(default="", repr=False)
    domain: str = ""
    transports: Sequence[str] = ("ntlm", "basic")
    latency_seconds: float = 0.05  # how long a host's PowerShell takes
    is_localised: bool = False  # names outside ASCII
    use_tls: bool = False
    is_strict: bool = False  # NTLM logins must be bound to the TLS channel (CbtHardeningLevel=Strict)
    client_ca: str = ""  # PEM of the authority whose client certificates may log in

    def addresses(self) -> list[str]:
        network = ip_network(self.network)
        if not network.subnet_of(ip_network("127.0.0.0/8")):  # type: ignore[arg-type]  # the next line refuses IPv6
            raise ValueError(f"network {self.network} is not in 127.0.0.0/8")
        if self.count > network.num_addresses - 2:
            raise ValueError(f"network {self.network} has not {self.count} hosts")
        first = int(network.network_address) + 1
        return [str(IPv4Address(first + index)) for index in range(self.count)]

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "FleetConfig":
        return cls(**fields)
