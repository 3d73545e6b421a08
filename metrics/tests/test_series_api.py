"""GET devices/{id}/metrics, GET metrics/paths and POST metrics/top."""

from base64 import b64encode
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from rest_framework.test import APIClient

from devices.models import CredentialProfile, Device, PollState, StatusChange
from devices.services import database_now
from metrics.sample_rollups import SAMPLES
from metrics.tests.helpers import advance
from metrics.writer import SampleRow, samples_copy
from polling.tests.conftest import winrm_device

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def put(device: Device, rows: list[tuple[datetime, str]]) -> None:
    with connection.cursor() as cursor:
        samples_copy(cursor, [SampleRow(device.pk, at, at, text) for at, text in rows])
    PollState.objects.filter(device=device).update(newest_sample_at=max(at for at, _ in rows))


@pytest.fixture
def now() -> datetime:
    return database_now()


@pytest.fixture
def samples(device: Device, now: datetime) -> Device:
    """One a minute for three hours, the newest a second ago; cpu.total is its age in minutes."""
    put(
        device,
        [
            (
                now - timedelta(minutes=age, seconds=1),
                f'{{"cpu": {{"total": {age}}}, "up": true, "m": {{"f": 5}}}}',
            )
            for age in range(180)
        ],
    )
    StatusChange.objects.update(at=now - timedelta(days=1))
    return device


def get(api: APIClient, device: Device, **parameters: Any) -> Any:
    answer = api.get(f"/api/v1/devices/{device.pk}/metrics", parameters)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_last_hour_in_steps_of_the_interval(api: APIClient, samples: Device) -> None:
    answer = get(api, samples, path="cpu.total")
    assert (answer["step_seconds"], answer["level"], answer["agg"]) == (60, "raw", "avg")
    (series,) = answer["series"]
    assert series["path"] == "cpu.total"
    assert 60 <= len(series["points"]) <= 61
    assert [point["value"] for point in series["points"]] == list(range(len(series["points"]) - 1, -1, -1))
    assert answer["as_of"] is not None
    assert answer["stale"] is False
    assert abs(answer["expected"] - answer["got"]) <= 1


def test_rolled_up_and_fresh_rows_make_one_answer(api: APIClient, samples: Device, now: datetime) -> None:
    raw = get(api, samples, path="cpu.total", step="1h", start=(now - 3 * HOUR).isoformat(), agg="sum")
    advance(SAMPLES, now)
    rolled = get(api, samples, path="cpu.total", step="3600", start=(now - 3 * HOUR).isoformat(), agg="sum")
    assert rolled["level"] == "1h"
    assert rolled["series"] == raw["series"]
    assert sum(point["count"] for point in rolled["series"][0]["points"]) == rolled["got"] == 180


def test_several_paths_in_the_order_asked_for(api: APIClient, samples: Device) -> None:
    answer = get(api, samples, path=["m.f", "gpu", "cpu.total", "up"], agg="max")
    found = {series["path"]: series["points"] for series in answer["series"]}
    assert list(found) == ["m.f", "gpu", "cpu.total", "up"]
    assert found["gpu"] == found["up"] == []
    assert {point["value"] for point in found["m.f"]} == {5}


def test_what_is_missing_is_missing(api: APIClient, samples: Device, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM metrics_sample WHERE due_at > %s", [now - timedelta(minutes=30)])
    answer = get(api, samples, path="cpu.total")
    assert 29 <= answer["expected"] - answer["got"] <= 31
    assert len(answer["series"][0]["points"]) == answer["got"]


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "path"),
        ({"path": "a..b"}, "path"),
        ({"path": ""}, "path"),
        ({"path": "a\x00b"}, "path"),
        ({"path": ["a"] * 21}, "path"),
        ({"path": "a", "step": "0"}, "step"),
        ({"path": "a", "step": "5x"}, "step"),
        ({"path": "a", "step": "99999999999"}, "step"),
        ({"path": "a", "agg": "median"}, "agg"),
        ({"path": "a", "start": "yesterday"}, "start"),
        ({"path": "a", "start": "0001-01-01T00:00:00Z"}, "start"),
        ({"path": "a", "end": "9999-12-31T23:59:59Z"}, "end"),
        ({"path": "a", "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "start"),
    ],
)
def test_bad_parameters_are_named(
    api: APIClient, device: Device, parameters: dict[str, Any], field: str
) -> None:
    answer = api.get(f"/api/v1/devices/{device.pk}/metrics", parameters)
    assert answer.status_code == 400
    assert any(name.startswith(field) for name in answer.json()["error"]["fields"])


def test_too_many_points_are_refused(api: APIClient, device: Device, now: datetime) -> None:
    start = (now - timedelta(days=1)).isoformat()
    answer = api.get(f"/api/v1/devices/{device.pk}/metrics", {"path": "a", "step": "1", "start": start})
    assert answer.status_code == 400
    assert "longer step" in answer.json()["error"]["fields"]["step"][0]


@pytest.mark.parametrize("url", ["/api/v1/devices/1/metrics?path=a", "/api/v1/metrics/paths"])
def test_reading_needs_a_login(anonymous: APIClient, url: str) -> None:
    assert anonymous.get(url).status_code == 401


def test_unknown_devices_are_not_found(api: APIClient) -> None:
    assert api.get("/api/v1/devices/999999/metrics?path=a").status_code == 404
    assert api.get("/api/v1/metrics/paths?device_id=999999").status_code == 404


def test_the_number_of_queries_does_not_depend_on_the_range(
    api: APIClient, samples: Device, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(12):
        get(api, samples, path=["cpu.total", "m.f"], start="2026-01-01T00:00:00Z")


def test_whole_documents_by_cursor(api: APIClient, samples: Device, now: datetime) -> None:
    url = f"/api/v1/devices/{samples.pk}/samples"
    first = api.get(url, {"page_size": 2}).json()
    assert [row["data"]["cpu"]["total"] for row in first["results"]] == [0, 1]
    put(samples, [(now - timedelta(milliseconds=n), '{"cpu": {"total": -1}}') for n in range(30)])
    assert [row["data"]["cpu"]["total"] for row in api.get(first["next"]).json()["results"]] == [2, 3]
    assert api.get(url, {"start": "x"}).status_code == 400
    assert len(api.get(f"{url}?page_size=1000&start=2026-01-01T00:00:00Z").json()["results"]) == 200
    for size in ("false", "0", "-1", "1.5"):
        answer = api.get(url, {"page_size": size})
        assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["page_size"])
    assert api.get("/api/v1/devices/999999/samples").status_code == 404


@pytest.mark.parametrize("position", ["x", "2026-13-01", "2026-02-30 00:00:00", "'; --", "\x00"])
@pytest.mark.parametrize("what", ["samples", "verdicts"])
def test_a_damaged_cursor_is_not_found(api: APIClient, samples: Device, what: str, position: str) -> None:
    cursor = b64encode(urlencode({"p": position}).encode()).decode()
    answer = api.get(f"/api/v1/devices/{samples.pk}/{what}", {"cursor": cursor})
    assert answer.status_code == 404
    assert "cursor" in answer.json()["error"]["message"].lower()


# --- Paths ---


def test_the_paths_of_a_device_with_their_newest_values(
    api: APIClient, device: Device, now: datetime
) -> None:
    put(
        device,
        [(now - timedelta(seconds=1), '{"net": {"eth0.100": {"rx": 7}}, "list": [1], "on": true, "": 3}')],
    )
    answer = api.get("/api/v1/metrics/paths", {"device_id": device.pk})
    assert answer.json() == [{"path": "list.0", "value": 1}, {"path": "net.eth0\\.100.rx", "value": 7}]
    escaped = get(api, device, path="net.eth0\\.100.rx")
    assert [point["value"] for point in escaped["series"][0]["points"]] == [7]


def test_paths_of_the_last_day_that_the_newest_document_has_not(
    api: APIClient, device: Device, now: datetime
) -> None:
    put(device, [(now - 5 * HOUR, '{"gone": 1}'), (now, '{"here": 2}')])
    advance(SAMPLES, now)
    answer = api.get("/api/v1/metrics/paths", {"device_id": device.pk})
    assert answer.json() == [{"path": "gone", "value": None}, {"path": "here", "value": 2}]
    everybody = api.get("/api/v1/metrics/paths").json()
    assert everybody == [{"path": "gone", "value": None}]


def test_paths_that_cannot_be_asked_for_are_not_listed(api: APIClient, device: Device, now: datetime) -> None:
    long = "x" * 129
    put(device, [(now - 5 * HOUR, f'{{"a": 1, "tab\\tk": 2, "{long}": 3}}')])
    advance(SAMPLES, now)
    assert api.get("/api/v1/metrics/paths", {"device_id": device.pk}).json() == [{"path": "a", "value": 1}]
    assert api.get("/api/v1/metrics/paths").json() == [{"path": "a", "value": None}]


def test_a_device_without_samples_has_no_paths(api: APIClient, device: Device) -> None:
    assert api.get("/api/v1/metrics/paths", {"device_id": device.pk}).json() == []


# --- Rankings ---


@pytest.fixture
def fleet(winrm_credential: CredentialProfile, now: datetime) -> list[Device]:
    """Three devices with 10, 20 and 30 percent two hours ago, and the other way round now."""
    devices = [winrm_device(winrm_credential, last) for last in (1, 2, 3)]
    for n, device in enumerate(devices, 1):
        old = (now - 2 * HOUR, f'{{"cpu": {{"total": {10 * n}}}}}')
        put(device, [old, (now - timedelta(seconds=1), f'{{"cpu": {{"total": {40 - 10 * n}}}}}')])
    return devices


def top(api: APIClient, **body: Any) -> Any:
    answer = api.post("/api/v1/metrics/top", {"path": "cpu.total", **body})
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_what_is_not_rolled_up_at_all_is_ranked_by_the_newest_samples(
    api: APIClient, fleet: list[Device]
) -> None:
    answer = top(api, limit=2)
    assert answer["level"] == "raw"
    assert [(row["device_id"], row["value"]) for row in answer["results"]] == [
        (fleet[0].pk, 30),
        (fleet[1].pk, 20),
    ]


def test_rolled_up_rows_are_ranked_up_to_where_they_are_made(
    api: APIClient, fleet: list[Device], now: datetime
) -> None:
    advance(SAMPLES, now)
    answer = top(api, start=(now - 3 * HOUR).isoformat(), order="asc", agg="max")
    assert [(row["device_id"], row["value"], row["count"]) for row in answer["results"]] == [
        (device.pk, 10 * n, 1) for n, device in enumerate(fleet, 1)
    ]
    assert answer["results"][0]["hostname"] == "win-1"
    assert datetime.fromisoformat(answer["end"]) <= now - timedelta(minutes=2)


def test_a_ranking_ends_now_at_the_latest(api: APIClient, fleet: list[Device], now: datetime) -> None:
    answer = top(api, start=(now - timedelta(minutes=3)).isoformat(), end=(now + 20 * HOUR).isoformat())
    assert [row["value"] for row in answer["results"]] == [30, 20, 10]
    ahead = top(api, start=(now + HOUR).isoformat(), end=(now + 2 * HOUR).isoformat())
    assert ahead["results"] == []


def test_some_devices_are_ranked_among_themselves(api: APIClient, fleet: list[Device]) -> None:
    answer = top(api, device_ids=[fleet[2].pk, 999_999])
    assert [row["device_id"] for row in answer["results"]] == [fleet[2].pk]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"path": ""}, "path"),
        ({"limit": 0}, "limit"),
        ({"limit": 1_001}, "limit"),
        ({"order": "up"}, "order"),
        ({"device_ids": []}, "device_ids"),
        ({"agg": "p95"}, "agg"),
    ],
)
def test_bad_rankings_are_named(api: APIClient, body: dict[str, Any], field: str) -> None:
    answer = api.post("/api/v1/metrics/top", {"path": "a", **body})
    assert answer.status_code == 400
    assert field in answer.json()["error"]["fields"]
