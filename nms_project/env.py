"""Typed readers of the environment: a bad value stops the start with the variable's name and the remedy.

Every reader notes the name it was asked for in `DECLARED`, so that a test can hold docs/settings.md against
it. A value may also come from a file: `NAME_FILE=/run/secrets/name` is read when `NAME` itself is not set.

Between `collect` and `report` a bad value is noted and its default used, so that all of them are reported at
once.
"""

import os
import re
from collections.abc import Callable, Sequence
from functools import wraps
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")

DECLARED: set[str] = set()
MIN_SECRET_KEY = 32  # characters: the key of HS256 must be as long as its hash (RFC 7518, section 3.2)
Network = IPv4Network | IPv6Network

SHOWN_CHARACTERS = 60  # of a bad value: the wrong file may be named, or a secret given for something else
WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
ORIGIN = re.compile(rf"https?://(\*\.)?({HOST_NAME.pattern}|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?")


# --- Reporting all at once ---

_problems: list[str] | None = None  # None: a problem is raised where it is found
_refused: set[str] = set()  # names whose values are bad, and are not read again


def collect() -> None:
    global _problems
    _problems = []
    _refused.clear()


def report() -> None:
    """Raise ImproperlyConfigured with what was noted since `collect`, a line for each."""
    global _problems
    problems, _problems = _problems or [], None
    _refused.clear()
    if len(problems) > 1:
        problems.insert(0, f"{len(problems)} settings are wrong.")
    if problems:
        raise ImproperlyConfigured("\n  ".join(problems))


def is_refused(name: str) -> bool:
    """Return whether a bad value of this setting has been noted."""
    return name in _refused


def or_note(read: Callable[[], Value], instead: Value) -> Value:
    """Return what `read` does; while problems are collected, note one and return `instead`."""
    try:
        return read()
    except ImproperlyConfigured as error:
        if _problems is None:
            raise
        _problems.append(str(error))
        return instead


def _reader(
    read: Callable[Concatenate[str, Parameters], Value],
) -> Callable[Concatenate[str, Parameters], Value]:
    """Have a bad value noted while problems are collected, and the default used."""

    @wraps(read)
    def noting(name: str, /, *arguments: Parameters.args, **named: Parameters.kwargs) -> Value:
        try:
            return read(name, *arguments, **named)
        except ImproperlyConfigured as error:
            if _problems is None or name in _refused:
                raise
            _problems.append(str(error))
            _refused.add(name)
            return read(name, *arguments, **named)

    return noting


# --- Reading ---


def _raw(name: str) -> str | None:
    DECLARED.add(name)
    if name in _refused:
        return None
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


@_reader
def text(name: str, default: str = "") -> str:
    return _raw(name) or default


@_reader
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


@_reader
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


@_reader
def boolean(name: str, default: bool) -> bool:
    raw = _raw(name)
    if raw is None:
        return default
    if raw.lower() in {"1", "true", "yes", "on"}:
        return True
    if raw.lower() in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false; it is {_shown(raw)}.")


@_reader
def items(name: str, default: Sequence[str] = ()) -> list[str]:
    raw = _raw(name)
    if raw is None:
        return list(default)
    return [item.strip() for item in raw.split(",") if item.strip()]


@_reader
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


@_reader
def address(name: str, default: str) -> str:
    """An IP address or a host name, without a port."""
    value = _raw(name) or default
    if not (_is_address(value) or HOST_NAME.fullmatch(value)):
        raise ImproperlyConfigured(
            f"{name} must be an IP address or a host name, without a port; it is {_shown(value)}."
        )
    return value


@_reader
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


@_reader
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


@_reader
def choice(name: str, default: str, allowed: Sequence[str]) -> str:
    value = (_raw(name) or default).upper()
    if value not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}; it is {_shown(value)}.")
    return value


@_reader
def folder(name: str, default: Path) -> Path:
    """A folder that is there."""
    raw = _raw(name)
    if raw is None:
        return default
    if not Path(raw).is_dir():
        raise ImproperlyConfigured(f"{name} must name a folder; {_shown(raw)} is not one.")
    return Path(raw)


@_reader
def new_folder(name: str) -> str | None:
    """The path of a folder that may have to be made; None where it is not set."""
    raw = _raw(name)
    if raw is None:
        return None
    if not Path(raw).is_absolute() or (Path(raw).exists() and not Path(raw).is_dir()):
        raise ImproperlyConfigured(f"{name} must be the absolute path of a folder; {_shown(raw)} is not one.")
    return raw


@_reader
def bearer_token(name: str) -> str:
    """A token as an Authorization header has it (RFC 6750, section 2.1), or "" where it is not set."""
    raw = _raw(name) or ""
    if raw and not TOKEN.fullmatch(raw):
        raise ImproperlyConfigured(
            f"{name} must be letters, digits and -._~+/ with = at its end, as a bearer token is."
        )
    return raw


@_reader
def secret_key(name: str) -> str:
    """A signing key, or "" where it is not set."""
    raw = _raw(name) or ""
    if raw and len(raw) < MIN_SECRET_KEY:
        raise ImproperlyConfigured(
            f"{name} must have at least {MIN_SECRET_KEY} characters; it has {len(raw)}."
        )
    return raw


@_reader
def fernet_keys(name: str) -> list[str]:
    """Fernet keys, separated by commas, blanks or line ends."""
    return fernet_keys_of(_raw(name) or "", name)


def fernet_keys_of(text: str, name: str) -> list[str]:
    """Raise ImproperlyConfigured, which shows no key."""
    keys = text.replace(",", " ").split()
    for position, key in enumerate(keys, start=1):
        try:
            Fernet(key)
        except ValueError:
            raise ImproperlyConfigured(
                f"{name}: key {position} of {len(keys)} is not a Fernet key, which is 32 random bytes in "
                "URL-safe base64 (44 characters). Separate keys by commas."
            ) from None
    return keys
