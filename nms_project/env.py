"""Typed readers of the environment: a bad value stops the start with the variable's name and the remedy.

Every reader notes the name it was asked for in `DECLARED`, so that a test can hold docs/settings.md against
it. A value may also come from a file: `NAME_FILE=/run/secrets/name` is read when `NAME` itself is not set.
"""

import os
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

DECLARED: set[str] = set()
Network = IPv4Network | IPv6Network


def _raw(name: str) -> str | None:
    DECLARED.add(name)
    value = os.environ.get(name)
    if value is not None and value.strip():
        return value.strip()
    file_name = os.environ.get(f"{name}_FILE")
    if not file_name:
        return None
    try:
        return Path(file_name).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise ImproperlyConfigured(
            f"{name}_FILE names a file that cannot be read: {error.strerror}."
        ) from error


def text(name: str, default: str = "") -> str:
    return _raw(name) or default


def integer(name: str, default: int, *, low: int, high: int) -> int:
    raw = _raw(name)
    if raw is None:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} must be a whole number from {low} to {high}; it is {raw!r}."
        ) from None
    if not low <= value <= high:
        raise ImproperlyConfigured(f"{name} must be from {low} to {high}; it is {value}.")
    return value


def number(name: str, default: float, *, low: float, high: float) -> float:
    raw = _raw(name)
    if raw is None:
        return default
    try:
        value = float(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a number from {low} to {high}; it is {raw!r}.") from None
    if not low <= value <= high:  # also false for NaN
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
    raise ImproperlyConfigured(f"{name} must be true or false; it is {raw!r}.")


def items(name: str, default: Sequence[str] = ()) -> list[str]:
    raw = _raw(name)
    if raw is None:
        return list(default)
    return [item.strip() for item in raw.split(",") if item.strip()]


def networks(name: str) -> list[Network]:
    """Addresses are networks of one."""
    try:
        return [ip_network(item) for item in items(name)]
    except ValueError as error:
        raise ImproperlyConfigured(
            f"{name}: {error}. Write addresses and networks, such as 10.0.0.5,10.1.0.0/16."
        ) from None


def choice(name: str, default: str, allowed: Sequence[str]) -> str:
    value = (_raw(name) or default).upper()
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}; it is {value!r}.")
    return value
