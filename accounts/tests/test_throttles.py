"""Allowances: what is taken at once, how they refill, and that nobody takes more than there is."""

import threading
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.throttles import take
from nms_project.redis_client import redis_client


def test_an_allowance_is_taken_at_once_and_refills_steadily() -> None:
    assert [take("a", "read", 60) for _ in range(60)] == [0] * 60
    assert 0.5 < take("a", "read", 60) <= 1
    assert take("b", "read", 60) == 0
    assert take("a", "write", 60) == 0


def test_a_request_that_has_to_wait_takes_nothing() -> None:
    waits = [take("a", "read", 1) for _ in range(5)]
    assert waits[0] == 0
    assert all(59 < wait <= 60 for wait in waits[1:])


def test_requests_at_the_same_moment_take_no_more_than_there_is() -> None:
    allowed: list[bool] = []
    barrier = threading.Barrier(8)

    def client() -> None:
        barrier.wait()
        for _ in range(50):
            allowed.append(take("a", "read", 100) == 0)

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 100 <= allowed.count(True) <= 110  # it refills while we count


def test_a_clock_set_back_holds_nobody_up() -> None:
    take("a", "read", 60)
    (key,) = redis_client().keys("nms:throttle:*")
    redis_client().incrby(key, 3_600_000_000)
    assert [take("a", "read", 60) for _ in range(60)] == [0] * 60
    assert 0 < take("a", "read", 60) <= 1


def test_what_has_refilled_is_forgotten() -> None:
    take("a", "read", 60)
    (key,) = redis_client().keys("nms:throttle:*")
    assert 0 < int(redis_client().pttl(key)) <= 1_100


@pytest.mark.django_db
def test_too_many_requests_are_told_when_to_come_back(
    api: APIClient, anonymous: APIClient, settings: Any
) -> None:
    settings.NMS_REQUESTS_PER_MINUTE = {"read": 2, "write": 2, "query": 1}
    assert [api.get("/api/v1/devices").status_code for _ in range(3)] == [200, 200, 429]
    answer = api.get("/api/v1/devices")
    assert 1 <= int(answer["Retry-After"]) <= 31
    assert answer.json()["error"]["code"] == "throttled"
    body = {"device_ids": [1]}
    assert [api.post("/api/v1/metrics", body).status_code for _ in range(2)] == [200, 429]
    login = {"username": "nobody", "password": "x"}
    assert [anonymous.post("/login", login).status_code for _ in range(3)] == [401, 401, 429]


@pytest.mark.django_db
def test_without_redis_nobody_is_held_up(api: APIClient, settings: Any) -> None:
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    assert api.get("/api/v1/devices").status_code == 200
