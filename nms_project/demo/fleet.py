"""Which hosts the demo has, and what happens to them when."""

from dataclasses import dataclass

from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.host import Fault

WINDOWS_TARGET = "127.20.0.1-50"
PING_TARGET = "127.21.0.1-20"
WINDOWS_HOSTS = 50
PING_HOSTS = 20
USERNAME = "monitor"

INTERVAL_SECONDS = 10
# The demo shows in a minute what takes ten in production.
ENVIRONMENT = {
    "NMS_FAILURE_WINDOW_SECONDS": "30",
    "NMS_PLUGIN_TIMEOUT_SECONDS": "5",
    "NMS_LOG_LEVEL": "WARNING",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    fault: Fault
    verdict: str  # the one it must get


# They begin when discovery has finished.
FAULTY = {
    "127.20.0.46": Trouble(Fault.WRONG_PASSWORD, "auth_failed"),
    "127.20.0.47": Trouble(Fault.HANG, "timeout"),
    "127.20.0.48": Trouble(Fault.SOAP_FAULT, "poll_failed"),
}
# They stop listening some time later, and must end up inactive.
DYING = {
    "127.20.0.49": Trouble(Fault.GONE, "poll_failed"),
    "127.20.0.50": Trouble(Fault.GONE, "poll_failed"),
}


def fleet_config(password: str, port: int) -> FleetConfig:
    return FleetConfig(
        network="127.20.0.0/24",
        count=WINDOWS_HOSTS,
        port=port,
        username=USERNAME,
        password=password,
        latency_seconds=0.2,
    )
