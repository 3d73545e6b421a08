"""Typed readers of the environment: a bad value stops the start with the variable's name and the remedy.

Every reader notes the name it was asked for in `DECLARED`, so that a test can hold docs/settings.md against
it. A value may also come from a file: `NAME_FILE=/run/secrets/name` is read when `NAME` itself is not set.
"""

import os
import re
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

DECLARED: set[str] = set()
Network = IPv4Network | IPv6Network

SHOWN_CHARACTERS = 60  # of a bad value: the wrong file may be named, or a secret given for something else
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
ORIGIN = re.compile(rf"https?://(\*\.)?({HOST_NAME.pattern}|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?")


def _raw(name: str) -> str | None:
    DECLARED.add(name)
    value = os.environ.get(name)
    if value is not None and value.strip():
        return value.strip()
    file_name = os.environ.get(f"{name}_FILE")
    if not file_name:
        return None
    return _content(f"{name}_FILE", Path(file_name))


def _content(name: str, path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # a pipe would hold the start up
            raise ImproperlyConfigured(f"{name} must name a regular file; {path} is not one.")
        content = path.read_text(encoding="utf-8-sig").strip()
    except OSError as error:
        raise ImproperlyConfigured(f"{name} names a file that cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{name} names a file that is not text in UTF-8.") from None
    if not content:
        raise ImproperlyConfigured(f"{name} names a file that is empty.")
    return content


def _shown(value: str) -> str:
    return repr(value if len(value) <= SHOWN_CHARACTERS else f"{value[:SHOWN_CHARACTERS]}…")


def text(name: str, default: str = "") -> str:
    return _raw(name) or default


def integer(name: str, default: int, *, low: int, high: int) -> int:
    raw = _raw(name)
    if raw is None:
        return default
    if not WHOLE_NUMBER.fullmatch(raw) or len(raw) > SHOWN_CHARACTERS:
        raise ImproperlyConfigured(
            f"{name} must be a whole number from {low} to {high}; it is {_shown(raw)}."
        )
    value = int(raw)
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} must be from {low} to {high}; it is {value}.")
    return value


def number(name: str, default: float, *, low: float, high: float) -> float:
    raw = _raw(name)
    if raw is None:
        return default
    if not NUMBER.fullmatch(raw):
        raise ImproperlyConfigured(f"{name} must be a number from {low} to {high}; it is {_shown(raw)}.")
    value = float(raw)
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} must be from {low} to {high}; it is {value}.")
    return value


def boolean(name: str, default: bool) -> bool:
    raw = _raw(name)
    if raw is None:
        return default
    if raw.lower() in {"1", "true", "yes", "on"}:
        return True
    if raw.lower() in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false; it is {_shown(raw)}.")


def items(name: str, default: Sequence[str] = ()) -> list[str]:
    raw = _raw(name)
    if raw is None:
        return list(default)
    return [item.strip() for item in raw.split(",") if item.strip()]


def networks(name: str) -> list[Network]:
    """Addresses are networks of one."""
    try:
        found = [ip_network(item) for item in items(name)]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name}: {error}. Write addresses and networks, such as 10.0.0.5,10.1.0.0/16."
        ) from None
    for network in found:
        if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
            raise ImproperlyConfigured(
                f"{name}: write {network} as the IPv4 address or network it stands for."
            )
    return found


def address(name: str, default: str) -> str:
    """An IP address or a host name, without a port."""
    value = _raw(name) or default
    if not (_is_address(value) or HOST_NAME.fullmatch(value)):
        raise ImproperlyConfigured(
            f"{name} must be an IP address or a host name, without a port; it is {_shown(value)}."
        )
    return value


def hosts(name: str, default: Sequence[str]) -> list[str]:
    """Host names as Django's ALLOWED_HOSTS has them."""
    found = items(name, default)
    for item in found or [""]:
        bare = item.removeprefix("[").removesuffix("]") if item.startswith("[") else item.removeprefix(".")
        if item != "*" and not (_is_address(bare) or HOST_NAME.fullmatch(bare)):
            raise ImproperlyConfigured(
                f"{name} must be host names separated by commas, without a scheme or port; "
                f".example.org stands for all names below it; {_shown(item)} is not one."
            )
    return found


def origins(name: str) -> list[str]:
    """Scheme and host, as Django's CSRF_TRUSTED_ORIGINS has them."""
    found = items(name)
    for item in found:
        if not ORIGIN.fullmatch(item):
            raise ImproperlyConfigured(
                f"{name} must be origins such as https://nms.example.org, separated by commas; "
                f"{_shown(item)} is not one."
            )
    return found


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def choice(name: str, default: str, allowed: Sequence[str]) -> str:
    value = (_raw(name) or default).upper()
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}; it is {_shown(value)}.")
    return value
