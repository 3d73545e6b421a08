"""Guessing passwords: who has to wait, for how long, and that nobody learns which user names there are."""

import json
import threading
from ipaddress import ip_network
from typing import Any

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory
from rest_framework.test import APIClient

from accounts.client import client_address
from accounts.lockout import attempt_begin, success_note, wait_seconds
from nms_project.redis_client import redis_client

pytestmark = pytest.mark.django_db
PASSWORD = "a long enough password"


def attempt(client: APIClient, username: str = "operator", password: str = "wrong", **extra: Any) -> Any:
    return client.post("/login", {"username": username, "password": password}, **extra)


@pytest.mark.parametrize("username", ["operator", "nobody-has-this-name"])
def test_the_sixth_guess_waits_whoever_it_is_for(anonymous: APIClient, user: Any, username: str) -> None:
    answers = [attempt(anonymous, username) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401, 401, 401, 401, 429, 429]
    assert len({answer.content for answer in answers[:4]}) == 1
    assert 1 <= int(answers[5]["Retry-After"]) <= 30
    assert answers[5].json()["error"]["code"] == "throttled"


def test_a_locked_login_is_not_tried_even_with_the_right_password(anonymous: APIClient, user: Any) -> None:
    for _ in range(5):
        attempt(anonymous)
    assert attempt(anonymous, password=PASSWORD).status_code == 429
    assert attempt(anonymous, password=PASSWORD, REMOTE_ADDR="127.0.0.9").status_code == 200


def test_both_login_routes_and_the_admin_count_together(
    anonymous: APIClient, user: Any, client: Client
) -> None:
    for _ in range(3):
        anonymous.post("/api/v1/auth/token", {"username": "operator", "password": "wrong"})
    for _ in range(2):
        answer = client.post("/admin/login/", {"username": "Operator", "password": "wrong"})
    assert answer.status_code == 429
    assert attempt(anonymous, password=PASSWORD).status_code == 429


def test_a_success_forgets_the_failures(anonymous: APIClient, user: Any) -> None:
    for _ in range(3):
        for _ in range(4):
            assert attempt(anonymous).status_code == 401
        assert attempt(anonymous, password=PASSWORD).status_code == 200


def locks_run_out() -> None:
    for key in redis_client().keys("*:locked"):
        redis_client().delete(key)


def fail(address: str, username: str) -> int:
    """One more failure, whatever is locked; returns the wait after it."""
    locks_run_out()
    assert attempt_begin(address, username) == 0
    return wait_seconds(address, username)


def test_each_further_failure_waits_twice_as_long() -> None:
    waits = [fail("127.0.0.1", "somebody") for _ in range(12)]
    assert waits == [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]


def test_what_has_to_wait_is_not_counted() -> None:
    for _ in range(5):
        fail("127.0.0.1", "somebody")
    assert all(attempt_begin("127.0.0.1", "somebody") > 0 for _ in range(10))
    assert fail("127.0.0.1", "somebody") == 60


def test_one_address_that_tries_many_names_waits_too() -> None:
    for number in range(60):
        fail("127.0.0.1", f"user-{number}")
    assert 0 < wait_seconds("127.0.0.1", "yet another") <= 60
    assert wait_seconds("127.0.0.2", "yet another") == 0


def test_one_name_that_is_tried_from_many_addresses_waits_but_not_its_owner() -> None:
    """Nobody can keep a user out for good by guessing on purpose."""
    attempt_begin("127.0.0.9", "somebody")
    success_note("127.0.0.9", "somebody")
    for number in range(60):
        fail(f"127.0.1.{number}", "somebody")
    assert 0 < wait_seconds("127.0.0.2", "somebody") <= 60
    assert attempt_begin("127.0.0.9", "somebody") == 0
    locks_run_out()
    assert attempt_begin("127.0.0.2", "somebody") == 0


def test_what_is_shared_is_forgotten_although_somebody_goes_on() -> None:
    fail("127.0.0.1", "a")
    redis_client().expire("nms:lockout:address:127.0.0.1", 100)
    fail("127.0.0.1", "b")
    assert int(redis_client().ttl("nms:lockout:address:127.0.0.1")) <= 100


def test_a_success_takes_its_own_attempt_back() -> None:
    for number in range(100):
        assert attempt_begin("127.0.0.1", f"user-{number}") == 0
        success_note("127.0.0.1", f"user-{number}")
    assert redis_client().get("nms:lockout:address:127.0.0.1") == b"0"


def test_guesses_at_the_same_moment_are_counted_one_by_one() -> None:
    tried: list[bool] = []
    barrier = threading.Barrier(20)

    def guess() -> None:
        barrier.wait()
        tried.append(attempt_begin("127.0.0.1", "somebody") == 0)

    threads = [threading.Thread(target=guess) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tried.count(True) == 5


def test_no_name_stands_in_redis(anonymous: APIClient, user: Any) -> None:
    attempt(anonymous, username="my-password-in-the-wrong-field")
    keys = str(redis_client().keys("*"))
    assert "lockout" in keys
    assert "my-password" not in keys


@pytest.mark.parametrize("username", ["\x00", "a" * 100_000, "\ud800", "ключ"])
def test_odd_names_are_no_bug(anonymous: APIClient, user: Any, username: str) -> None:
    body = json.dumps({"username": username, "password": "wrong"})
    answer = anonymous.post("/login", body, content_type="application/json")
    assert answer.status_code in {400, 401}


# --- Behind proxies ---


def from_address(remote: str, forwarded: str | None = None) -> HttpRequest:
    request = RequestFactory().get("/")
    request.META["REMOTE_ADDR"] = remote
    if forwarded is not None:
        request.META["HTTP_X_FORWARDED_FOR"] = forwarded
    return request


@pytest.mark.parametrize(
    ("remote", "forwarded", "expected"),
    [
        ("198.51.100.1", None, "198.51.100.1"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),  # not a proxy of ours: anybody can say so
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.2.3.4, 203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("::1", "2001:db8::1", "2001:db8::1"),
        ("", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:198.51.100.1", None, "198.51.100.1"),
        ("10.0.0.1", "fe80::1%" + "a" * 500, "10.0.0.1"),
    ],
)
def test_only_trusted_proxies_are_believed(
    settings: Any, remote: str, forwarded: str | None, expected: str
) -> None:
    settings.NMS_TRUSTED_PROXIES = [ip_network("10.0.0.0/8"), ip_network("::1")]
    assert client_address(from_address(remote, forwarded)) == expected


def test_without_proxies_nobody_is_believed() -> None:
    assert client_address(from_address("10.0.0.1", "203.0.113.9")) == "10.0.0.1"
    assert client_address(from_address("", "203.0.113.9")) == ""
