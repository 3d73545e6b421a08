"""What the operating system reports of a connection, as the protocol's error codes.

What this machine itself cannot do (no route, no network, no IPv6, no more files) is `internal`: it never
counts against the host.
"""

import errno
import ipaddress
import socket

from plugins.contract import ErrorCode

CONNECTION_LOST = "the host closed the connection"
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})
# The packet did not leave this machine, or a router on the way has lost its network. Not EACCES, which is
# also what a host's firewall answers over IPv6; `has_route` sees a local route that prohibits.
NO_NETWORK = frozenset(
    {
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENONET,
        errno.ENODEV,
        errno.EAFNOSUPPORT,
        errno.EPERM,
        errno.EINVAL,
    }
)
# Of getaddrinfo: the name is not to blame, the resolver did not work.
RESOLVER_FAULTS = frozenset({socket.EAI_AGAIN, socket.EAI_FAIL, socket.EAI_MEMORY, socket.EAI_SYSTEM})


def classify_network(error: BaseException, target: str) -> tuple[ErrorCode, str] | None:
    """Return (code, message) for an error of the operating system while it talked to `target`, else None."""
    match error:
        case TimeoutError():
            return ErrorCode.TIMEOUT, "the host did not answer in time"
        case socket.gaierror(errno=number) if number in RESOLVER_FAULTS:
            return ErrorCode.INTERNAL, f"this machine cannot resolve names (DNS): {error.strerror}"
        case socket.gaierror():
            return ErrorCode.UNREACHABLE, "the name does not resolve (DNS)"
        case ConnectionRefusedError():
            return ErrorCode.REFUSED, "nothing listens on the port"
        case ConnectionError():
            return ErrorCode.PROTOCOL, CONNECTION_LOST
        case OSError(errno=number) if number in OUT_OF_RESOURCES:
            return ErrorCode.INTERNAL, f"this machine has run out of resources: {error.strerror}"
        # EHOSTUNREACH is ours without a route; else a neighbour did not answer ARP, or a router said so.
        case OSError(errno=number) if number in NO_NETWORK or not has_route(target):
            return (
                ErrorCode.INTERNAL,
                f"this machine cannot reach the network: {error.strerror or 'no route'}",
            )
        case OSError(errno=int()):
            return ErrorCode.UNREACHABLE, f"the host cannot be reached: {error.strerror or error}"
    return None


def has_route(target: str) -> bool:
    """Return whether this machine's routing table leads to an address; True for a name. Nothing is sent."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(target).version == 6 else socket.AF_INET
    except ValueError:
        return True
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((target, 9))
    except OSError:
        return False
    return True


def classify_bug(error: BaseException) -> tuple[ErrorCode, str]:
    """What nobody expected is the plugin's own fault; its kind leads to it, its words may hold a secret."""
    return ErrorCode.INTERNAL, f"the plugin failed: {type(error).__name__}"
