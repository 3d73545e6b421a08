"""What the operating system says of a connection, as the protocol's error codes."""

import errno
import socket

from plugins.contract import ErrorCode

# Our own machine has run out of something: no target's fault.
OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL})


def classify_network(error: BaseException) -> tuple[ErrorCode, str] | None:
    """(code, message for people); None for what is no error of the operating system."""
    match error:
        case TimeoutError():
            return ErrorCode.TIMEOUT, "the host did not answer in time"
        case socket.gaierror():
            return ErrorCode.UNREACHABLE, "the name does not resolve (DNS)"
        case ConnectionRefusedError():
            return ErrorCode.REFUSED, "nothing listens on the port"
        case ConnectionError():
            return ErrorCode.PROTOCOL, "the host closed the connection"
        case OSError(errno=number) if number in OUT_OF_RESOURCES:
            return ErrorCode.INTERNAL, f"this machine has run out of resources: {error.strerror}"
        case OSError(errno=int()):
            return ErrorCode.UNREACHABLE, f"the host cannot be reached: {error.strerror or error}"
    return None


def classify_bug(error: BaseException) -> tuple[ErrorCode, str]:
    """What nobody expected is the plugin's own fault; its kind leads to it, its words may hold a secret."""
    return ErrorCode.INTERNAL, f"the plugin failed: {type(error).__name__}"
