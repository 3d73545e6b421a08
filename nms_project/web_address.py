"""Where the web server listens, by BIND and PORT, and where this machine reaches it."""

from django.conf import settings


def listening_address() -> str:
    """host:port, as gunicorn takes it."""
    return f"{_bracketed(settings.NMS_BIND)}:{settings.NMS_PORT}"


def local_url() -> str:
    """Without a path. Who listens on all addresses answers on loopback too."""
    host = settings.NMS_BIND
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared)
    return f"http://{_bracketed(loopback.get(host, host))}:{settings.NMS_PORT}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
