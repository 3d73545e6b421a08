"""What a browser is told, and what a production server must have: nothing for `check --deploy` to say."""

import os
import re
import subprocess
import sys
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.test import Client

PRODUCTION = {
    "DATABASE_URL": "postgresql://nms:x@127.0.0.1:1/nms",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "NMS_SECRET_KEY": "a-key-of-more-than-fifty-characters-0123456789-abcdefghijklm",
    "NMS_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    "NMS_HTTPS": "true",
}
PAGES = [
    "/admin/login/",
    "/admin/",
    "/api/v1/docs",
    "/api/v1/redoc",
    "/api/v1/devices",
    "/api/v1/devices?format=api",
]


def test_a_production_server_has_nothing_to_complain_about() -> None:
    found = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=settings.BASE_DIR,
        env={**os.environ, **PRODUCTION},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES)
def test_no_page_runs_inline_scripts(client: Client, user: Any, page: str) -> None:
    client.force_login(user)
    answer = client.get(page)
    policy = answer["Content-Security-Policy"]
    # The admin's theme makes functions of expressions in its own templates; nothing inline runs there either.
    scripts = "'self' 'unsafe-eval'" if page.startswith("/admin/") else "'self'"
    assert f"script-src {scripts};" in f"{policy};"
    assert "frame-ancestors 'none'" in policy
    assert answer["X-Content-Type-Options"] == "nosniff"
    inline = re.findall(r"<script(?![^>]*\bsrc=)([^>]*)>", answer.content.decode())
    assert all("application/json" in attributes for attributes in inline), inline
    assert not re.search(r"\son\w+=", re.sub(r"<script.*?</script>", "", answer.content.decode(), flags=re.S))


@pytest.mark.django_db
def test_one_can_log_out_of_the_browsable_api(client: Client, user: Any) -> None:
    client.force_login(user)
    page = client.get("/api/v1/devices?format=api").content.decode()
    assert "Log out operator" in page
    assert client.post("/api-auth/logout/?next=/api/v1/devices").status_code == 302
    assert client.get("/api/v1/auth/me").status_code == 401


@pytest.mark.django_db
def test_plain_requests_are_sent_on(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.SECURE_HSTS_SECONDS = 60
    answer = client.get("/admin/login/")
    assert (answer.status_code, answer["Location"]) == (301, "https://testserver/admin/login/")
    answer = client.get("/admin/login/", headers={"x-forwarded-proto": "https"})
    assert answer.status_code == 200
    assert answer["Strict-Transport-Security"] == "max-age=60"
    assert client.get("/healthz").status_code == 200
