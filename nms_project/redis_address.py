"""REDIS_URL in its three forms, as redis-py and as Celery's broker want it.

`redis://:password@host:6379/0` (or `rediss://`), `unix:///path?db=0`, and for a fail-over by Redis Sentinel
`sentinel://:password@host:26379,host:26379/master?db=0`; the password is that of the master and its replicas.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import redis
from django.core.exceptions import ImproperlyConfigured
from redis.sentinel import Sentinel

SENTINEL_PORT = 26_379
# A Redis that hangs must show as away, not hang its caller.
TIMEOUTS = {"socket_timeout": 5, "socket_connect_timeout": 5}


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    sentinels: tuple[tuple[str, int], ...]
    master: str
    password: str | None
    database: int

    def __repr__(self) -> str:
        return f"SentinelAddress({self.sentinels}, {self.master!r})"


def sentinel_parse(url: str) -> SentinelAddress | None:
    """None for a URL of another form. Raises ImproperlyConfigured for a broken one."""
    parts = urlsplit(url)
    if parts.scheme != "sentinel":
        return None
    credentials, _, hosts = parts.netloc.rpartition("@")
    sentinels = []
    for host in hosts.split(","):
        name, colon, port = host.rpartition(":")
        if not colon:
            name, port = host, str(SENTINEL_PORT)
        if not name or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65_536:
            raise ImproperlyConfigured("REDIS_URL: write sentinels as host:port,host:port.")
        sentinels.append((name, int(port)))
    master = parts.path.strip("/")
    if not master:
        raise ImproperlyConfigured(
            "REDIS_URL: name the master after the sentinels: sentinel://host:26379/mymaster."
        )
    password = unquote(credentials.partition(":")[2]) or None
    return SentinelAddress(tuple(sentinels), master, password, int(_database(parts.query)))


def _database(query: str) -> str:
    return dict(parse_qsl(query)).get("db", "0")


def client(url: str) -> redis.Redis:
    """A pool of connections; behind sentinels to whichever server is the master when one is made."""
    address = sentinel_parse(url)
    if address is None:
        return redis.Redis.from_url(url, **TIMEOUTS)
    sentinel = Sentinel(list(address.sentinels), sentinel_kwargs=TIMEOUTS, **TIMEOUTS)
    found: redis.Redis = sentinel.master_for(address.master, db=address.database, password=address.password)
    return found


def _check(url: str) -> None:
    """Raise ImproperlyConfigured for a URL that is of no form. The error does not repeat it: it has a
    password.
    """
    try:
        parts = urlsplit(url)
        path, query = parts.path.lstrip("/"), dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        is_usable = query.keys() <= {"db"} and re.fullmatch("[0-9]{1,5}", query.get("db", "0")) is not None
        if parts.scheme in ("redis", "rediss"):
            is_usable &= (
                bool(parts.hostname) and parts.port != 0 and re.fullmatch("[0-9]{0,5}", path) is not None
            )
        elif parts.scheme == "unix":
            is_usable &= bool(path) and not parts.netloc
        else:
            is_usable &= parts.scheme == "sentinel"
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ImproperlyConfigured(
            "REDIS_URL must look like redis://:password@host:6379/0, rediss://…, unix:///path/socket?db=0 or "
            "sentinel://:password@host:26379/master?db=0. Write / as %2F, # as %23, ? as %3F, @ as %40 and [ "
            "as %5B in a password."
        )


def broker(url: str) -> tuple[str, dict[str, Any]]:
    """The broker's URL, and what its transport has to know besides. Raise ImproperlyConfigured."""
    _check(url)
    address = sentinel_parse(url)
    if address is not None:
        # Quoted whole: Kombu cuts the list of URLs at semicolons before it reads any of them.
        password = f":{quote(address.password, safe='')}@" if address.password else ""
        urls = [f"sentinel://{password}{host}:{port}/{address.database}" for host, port in address.sentinels]
        return ";".join(urls), {"master_name": address.master, "sentinel_kwargs": TIMEOUTS}
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url, {}
    # Kombu wants `redis+socket://` where redis-py takes `unix://`.
    return f"redis+socket://{parts.path}?virtual_host={_database(parts.query)}", {}
