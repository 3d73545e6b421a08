"""Pytest plugin (-p): real PostgreSQL and Redis for the run, on private sockets, gone afterwards.

Django reads its settings before any conftest.py is loaded, so the addresses are set here, at import; the
servers start when the session does. With pytest-xdist the controller owns them; each worker has its own
database (named by pytest-django) and its own Redis database.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from nms_project.stack.postgres import EmbeddedPostgres
from nms_project.stack.redis import EmbeddedRedis

REDIS_DATABASES = 64
_MARK = "NMS_TEST_STATE_DIR"
_servers: list[EmbeddedPostgres | EmbeddedRedis] = []


def _is_worker() -> bool:
    return "PYTEST_XDIST_WORKER" in os.environ


def _redis_database() -> int:
    """0 for a run without workers, else one more than the worker's number."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    return (int(worker.removeprefix("gw")) + 1) % REDIS_DATABASES if worker else 0


if not _is_worker():
    # Not below pytest's own temporary folders, which the server's account may not enter.
    state_dir = Path(tempfile.mkdtemp(prefix="nms-test-"))
    state_dir.chmod(0o755)
    os.environ[_MARK] = str(state_dir)

_state_dir = Path(os.environ[_MARK])
_postgres, _redis = EmbeddedPostgres(_state_dir), EmbeddedRedis(_state_dir)
os.environ.update(
    {
        "NMS_STATE_DIR": str(_state_dir),
        "DATABASE_URL": _postgres.url,
        "REDIS_URL": _redis.url.replace("db=0", f"db={_redis_database()}"),
        "NMS_SECRET_KEY": "a key for tests only, long enough for its signatures",
        "NMS_ENCRYPTION_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
        "NMS_ALLOWED_HOSTS": "testserver,localhost,127.0.0.1",
    }
)


def pytest_sessionstart(session: pytest.Session) -> None:
    if not _is_worker():
        for server in (_postgres, _redis):
            server.start()
            _servers.append(server)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not _is_worker():
        for server in _servers:
            server.stop()
        if _postgres.home != _state_dir:
            shutil.rmtree(_postgres.home, ignore_errors=True)
        shutil.rmtree(_state_dir, ignore_errors=True)


def pytest_report_header() -> list[str]:
    return ["servers: embedded PostgreSQL 18 and " + _redis_version()]


def _redis_version() -> str:
    import subprocess

    from nms_project.stack.redis import _binary

    done = subprocess.run([_binary(), "--version"], capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip().split(" malloc", maxsplit=1)[0]
