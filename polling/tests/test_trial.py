"""credentials/{id}/test: a credential tried by a worker, the answer in words."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from devices.models import CredentialProfile
from nms_project.redis_client import redis_client
from polling import runners
from polling.tests.test_stages import install
from polling.trial import trial_run

pytestmark = pytest.mark.usefixtures("committed")

ANSWERS = """#!/usr/bin/env python3
import json, sys
(task,) = json.load(sys.stdin)
base = {"request_id": task["request_id"], "target": task["target"], "port": task["port"]}
if task["target"] == "good.example":
    base |= {"success": True, "hostname": "good", "data": {"port": task["port"]}}
else:
    base |= {"success": False, "error_code": "auth", "error": "the host refused the login"}
print(json.dumps([base]))
"""


def url(profile: CredentialProfile) -> str:
    return f"/api/v1/credentials/{profile.pk}/test"


@pytest.fixture(autouse=True)
def _plugin(tmp_path: Path, settings: Any) -> Iterator[None]:
    install(tmp_path, settings, ANSWERS)
    runners._runners.clear()
    yield
    runners.close_all()
    runners._runners.clear()


@contextmanager
def worker(settings: Any) -> Iterator[list[Any]]:
    """Takes one message from the poll queues, as a worker would, and works on it; yields what it took."""
    taken: list[Any] = []

    def work() -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and not taken:
            for shard in range(settings.NMS_POLL_SHARDS):
                message: Any = redis_client().lpop(f"poll.{shard}")
                if message is not None:
                    taken.append(base64.b64decode(json.loads(message)["body"]))
                    trial_run(*json.loads(taken[0])[0])
            time.sleep(0.05)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    yield taken
    thread.join()


def test_a_login_that_works(api: APIClient, winrm_credential: CredentialProfile, settings: Any) -> None:
    with worker(settings) as taken:
        answer = api.post(url(winrm_credential), {"target": "good.example"})
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["success"], shown["error_code"], shown["hostname"]) == (True, "", "good")
    assert shown["document"] == {"port": 1}
    assert shown["message"]
    assert "s3cret" not in str(taken)
    (key,) = redis_client().keys("nms:trial:*") or [b""]
    assert key == b""


def test_a_refused_login_says_so_and_counts(
    api: APIClient, winrm_credential: CredentialProfile, settings: Any
) -> None:
    with worker(settings):
        answer = api.post(url(winrm_credential), {"target": "127.0.0.1", "port": 99})
    assert answer.json()["message"] == "the host refused the login"
    assert answer.json()["error_code"] == "auth"
    assert redis_client().keys("nms:logins:*:refused")


def test_nobody_answers(
    api: APIClient, winrm_credential: CredentialProfile, settings: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("polling.trial.START_SECONDS", -21.0)
    answer = api.post(url(winrm_credential), {"target": "good.example"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert "poll" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "target"),
        ({"target": ""}, "target"),
        ({"target": "10.0.0.0/24"}, "target"),
        ({"target": "a b"}, "target"),
        ({"target": "a..b"}, "target"),
        ({"target": ":::"}, "target"),
        ({"target": "fe80::1%eth0"}, "target"),
        ({"target": "http://a/"}, "target"),
        ({"target": "-oProxyCommand=x"}, "target"),
        ({"target": "a", "port": 0}, "port"),
        ({"target": "a", "port": "x"}, "port"),
    ],
)
def test_bad_input_names_the_field(
    api: APIClient, winrm_credential: CredentialProfile, body: dict[str, Any], field: str
) -> None:
    answer = api.post(url(winrm_credential), body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["fields"]


def test_ping_only_has_nothing_to_try(api: APIClient, icmp_credential: CredentialProfile) -> None:
    answer = api.post(url(icmp_credential), {"target": "127.0.0.1"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("There is nothing to try")


def test_unknown_and_without_a_login(
    api: APIClient, anonymous: APIClient, winrm_credential: CredentialProfile
) -> None:
    assert api.post("/api/v1/credentials/12345/test", {"target": "a"}).status_code == 404
    assert anonymous.post(url(winrm_credential), {"target": "a"}).status_code == 401
    assert api.get(url(winrm_credential)).status_code == 405


def test_a_credential_deleted_meanwhile_leaves_no_answer() -> None:
    trial_run("1", 12345, "a", 1)
    assert not redis_client().keys("nms:trial:*")


def test_a_secret_no_key_opens_is_said(winrm_credential: CredentialProfile) -> None:
    CredentialProfile.objects.filter(pk=winrm_credential.pk).update(encrypted_payload="nonsense")
    trial_run("1", winrm_credential.pk, "a", 1)
    answer: Any = redis_client().lpop("nms:trial:1")
    assert b"cannot be decrypted" in answer


def test_too_many_at_once_are_refused(api: APIClient, winrm_credential: CredentialProfile) -> None:
    """Each would hold a thread of the web server."""
    redis_client().set("nms:trials:open", 6, ex=20)
    answer = api.post(url(winrm_credential), {"target": "good.example"})
    assert answer.status_code == 503
    assert "at once" in answer.json()["error"]["message"]
    assert redis_client().get("nms:trials:open") == b"6"
    assert redis_client().ttl("nms:trials:open") <= 20  # as long as what a killed process left is counted
