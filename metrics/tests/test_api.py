"""POST /api/v1/metrics: paths, ranges, limits, and answers that say how old they are."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from devices.models import Device, PollState
from devices.services import database_now
from metrics.models import Sample
from metrics.writer import SampleRow, samples_copy

URL = "/api/v1/metrics"
pytestmark = pytest.mark.django_db


@pytest.fixture
def samples(device: Device) -> Device:
    """One a minute for two hours, the newest now: cpu.total is the age in minutes."""
    now = database_now()
    rows = [
        SampleRow(device.pk, moment, moment, f'{{"cpu": {{"total": {age}, "0": {age + 1}}}, "list": [7]}}')
        for age in range(120)
        for moment in [now - timedelta(minutes=age, seconds=1)]
    ]
    with connection.cursor() as cursor:
        samples_copy(cursor, rows)
    PollState.objects.update(newest_sample_at=rows[0].due_at)
    return device


def query(api: APIClient, **body: Any) -> Any:
    answer = api.post(URL, body)
    assert answer.status_code == 200, answer.content
    return answer.json()


def values(api: APIClient, device: Device, **body: Any) -> list[Any]:
    (series,) = query(api, device_ids=[device.pk], **body)
    return [point["value"] for point in series["results"]]


def test_newest_first_of_the_last_hour_at_most_a_hundred(api: APIClient, samples: Device) -> None:
    assert values(api, samples, path="cpu.total") == list(range(60))
    assert values(api, samples, path="cpu.total", limit=3) == [0, 1, 2]


def test_a_segment_may_be_a_number(api: APIClient, samples: Device) -> None:
    assert values(api, samples, path="cpu.0", limit=1) == [1]
    assert values(api, samples, path="list.0", limit=1) == [7]


def test_an_empty_path_is_the_whole_document(api: APIClient, samples: Device) -> None:
    whole = {"cpu": {"total": 0, "0": 1}, "list": [7]}
    assert values(api, samples, limit=1) == [whole]
    assert values(api, samples, path="", limit=1) == [whole]


@pytest.mark.slow
def test_an_answer_beyond_all_bounds_is_refused(api: APIClient, device: Device) -> None:
    now = database_now()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metrics_sample SELECT %s, at, at, jsonb_build_object('text', repeat('x', 250000)) "
            "FROM generate_series(%s::timestamptz - interval '300 seconds', %s, '1 second') AS at",
            [device.pk, now, now],
        )
    answer = api.post(URL, {"device_ids": [device.pk], "limit": 1_000})
    assert answer.status_code == 400
    assert "fewer devices" in answer.json()["error"]["fields"]["limit"][0]
    assert len(values(api, device, limit=100)) == 100


def test_a_position_has_one_spelling(api: APIClient, samples: Device) -> None:
    assert values(api, samples, path="list.-1") == values(api, samples, path="list.00") == []


def test_a_path_nobody_has_is_empty(api: APIClient, samples: Device) -> None:
    assert values(api, samples, path="gpu.total") == []


def test_a_range(api: APIClient, samples: Device) -> None:
    end = database_now() - timedelta(minutes=90)
    start = end - timedelta(minutes=10)
    found = values(api, samples, path="cpu.total", start=start.isoformat(), end=end.isoformat())
    assert found == list(range(90, 100))


def test_as_of_and_stale(api: APIClient, samples: Device) -> None:
    (fresh,) = query(api, device_ids=[samples.pk])
    assert fresh["as_of"] == fresh["results"][0]["timestamp"]
    assert fresh["stale"] is False
    older = Sample.objects.order_by("-due_at")[5]
    PollState.objects.update(newest_sample_at=older.due_at)
    (old,) = query(api, device_ids=[samples.pk])
    assert old["stale"] is True
    assert datetime.fromisoformat(old["as_of"]) == older.sampled_at


def test_a_newest_sample_that_was_dropped_is_remembered_by_its_time(api: APIClient, samples: Device) -> None:
    Sample.objects.all().delete()
    (series,) = query(api, device_ids=[samples.pk])
    assert series["results"] == []
    assert series["as_of"] is not None


def test_a_deleted_device_is_unknown_before_it_is_erased(api: APIClient, samples: Device) -> None:
    device_id = samples.pk
    samples.delete()
    (series,) = query(api, device_ids=[device_id], path="cpu.total")
    assert series == {"device_id": device_id, "results": [], "as_of": None, "stale": True}
    assert Sample.objects.filter(device_id=device_id).exists()


def test_unknown_devices_have_empty_results(api: APIClient, samples: Device) -> None:
    found = query(api, device_ids=[samples.pk + 99, samples.pk, samples.pk], limit=1)
    assert [series["device_id"] for series in found] == [samples.pk + 99, samples.pk]
    assert (found[0]["results"], found[0]["as_of"], found[0]["stale"]) == ([], None, True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "device_ids"),
        ({"device_ids": []}, "device_ids"),
        ({"device_ids": list(range(1, 502))}, "device_ids"),
        ({"device_ids": ["x"]}, "device_ids.0"),
        ({"device_ids": [0]}, "device_ids.0"),
        ({"device_ids": [2**63]}, "device_ids.0"),
        ({"device_ids": [1], "path": "a..b"}, "path"),
        ({"device_ids": [1], "path": "."}, "path"),
        ({"device_ids": [1], "path": "a.\x00"}, "path"),
        ({"device_ids": [1], "path": "a" * 129}, "path"),
        ({"device_ids": [1], "limit": 0}, "limit"),
        ({"device_ids": [1], "limit": 1_001}, "limit"),
        ({"device_ids": [1], "start": "yesterday"}, "start"),
        ({"device_ids": [1], "start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "start"),
        ({"device_ids": [1], "end": "0001-01-01T00:00:00Z"}, "end"),
    ],
)
def test_bad_input_names_the_field(api: APIClient, body: dict[str, Any], field: str) -> None:
    answer = api.post(URL, body)
    assert answer.status_code == 400
    assert any(name.startswith(field) for name in answer.json()["error"]["fields"])


@pytest.mark.parametrize("path", ["'; DROP TABLE metrics_sample; --", "{a,b}", '"', "%s", "\\", "a b.[c]"])
def test_hostile_paths_are_values_never_sql(api: APIClient, samples: Device, path: str) -> None:
    assert values(api, samples, path=path) == []
    assert values(api, samples, path="cpu.total", limit=1) == [0]


def test_the_number_of_queries_is_constant(
    api: APIClient, samples: Device, django_assert_num_queries: Any
) -> None:
    # The clock, the time limit, two of ours, a savepoint's two, and the user's permissions.
    with django_assert_num_queries(8):
        query(api, device_ids=list(range(1, 500)), path="cpu.total")


def test_needs_a_login(anonymous: APIClient) -> None:
    assert anonymous.post(URL, {"device_ids": [1]}).status_code == 401
