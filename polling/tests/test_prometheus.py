"""/metrics and metrics/prometheus: what they say, in a format that Prometheus's own parser reads, and to
whom.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from rest_framework.test import APIClient

from devices.models import Device, PollState
from devices.schedule import to_microseconds
from devices.services import database_now
from metrics.writer import SampleRow, samples_copy
from nms_project import telemetry
from polling.models import Verdict, VerdictKind
from polling.slots import Report
from polling.telemetry import stored_count

pytestmark = pytest.mark.django_db
TOKEN = "a-token-for-prometheus"
DASHBOARDS = Path(django_settings.BASE_DIR) / "deploy" / "grafana"


@pytest.fixture(autouse=True)
def token(settings: Any) -> None:
    settings.NMS_PROMETHEUS_TOKEN = TOKEN


def scrape(anonymous: APIClient, url: str, **parameters: Any) -> list[Sample]:
    answer = anonymous.get(url, parameters, headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.status_code == 200
    body = answer.getvalue() if answer.streaming else answer.content
    families = list(text_string_to_metric_families(body.decode()))
    return [sample for family in families for sample in family.samples]


def value(samples: list[Sample], name: str, **labels: str) -> float:
    (found,) = [each.value for each in samples if each.name == name and labels.items() <= each.labels.items()]
    return float(found)


# --- The system ---


def test_queues_devices_and_rollups(anonymous: APIClient, device: Device) -> None:
    samples = scrape(anonymous, "/metrics")
    assert value(samples, "nms_devices", status="active") == 1
    assert value(samples, "nms_queue_messages", queue="store") == 0
    assert value(samples, "nms_devices_overdue") == 1
    assert value(samples, "nms_rollup_late_intervals", ladder="samples", level="5m") == 0
    assert value(samples, "nms_redis_up") == 1


def test_what_was_stored_is_counted(anonymous: APIClient) -> None:
    reports = [
        Report(1, 0, VerdictKind.OK, started_us=400_000),
        Report(2, 0, VerdictKind.OK, started_us=40_000_000),
        Report(3, 0, VerdictKind.TIMEOUT, started_us=1_000_000),
        Report(4, 0, VerdictKind.LOST),
    ]
    stored_count(reports, 0.25)
    stored_count(reports[:1], 0.25)
    samples = scrape(anonymous, "/metrics")
    assert value(samples, "nms_verdicts_total", kind="ok") == 3
    assert value(samples, "nms_verdicts_total", kind="overrun") == 0
    assert value(samples, "nms_store_slots_total") == 5
    assert value(samples, "nms_store_seconds_total") == 0.5
    buckets = {
        each.labels["le"]: each.value for each in samples if each.name == "nms_poll_lateness_seconds_bucket"
    }
    assert (buckets["0.25"], buckets["0.5"], buckets["1.0"], buckets["30.0"], buckets["+Inf"]) == (
        0,
        2,
        3,
        3,
        4,
    )
    assert value(samples, "nms_poll_lateness_seconds_sum") == pytest.approx(41.8)


def test_plugins_that_ended_are_counted(anonymous: APIClient) -> None:
    telemetry.count({("plugin_ends", "winrm"): 1})
    telemetry.count({("plugin_ends", "winrm"): 1})
    assert value(scrape(anonymous, "/metrics"), "nms_plugin_ends_total", plugin="winrm") == 2


def test_without_redis_the_rest_is_still_told(anonymous: APIClient, settings: Any) -> None:
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    telemetry.count({("plugin_ends", "winrm"): 1})
    samples = scrape(anonymous, "/metrics")
    assert value(samples, "nms_redis_up") == 0
    assert value(samples, "nms_leases") == 0
    assert "nms_queue_messages" not in {each.name for each in samples}


# --- The devices ---


def polled(device: Device, kind: str, *, ago: float, **fields: Any) -> None:
    """The newest verdict, `ago` seconds old."""
    due_at = database_now() - timedelta(seconds=ago)
    Verdict.objects.create(
        device_id=device.pk, due_at=due_at, kind=kind, **{"attempted": True, "error_code": "", **fields}
    )
    PollState.objects.filter(device=device).update(last_polled_at=due_at, last_verdict=kind)


@pytest.fixture
def sampled(device: Device) -> Device:
    now = database_now()
    document = {"cpu": {"total": 41.5, "0": 40}, "cpus": 8, "net": {'a"b\\c\nd': 7}, "os": "Linux"}
    with connection.cursor() as cursor:
        samples_copy(cursor, [SampleRow(device.pk, now, now, json.dumps(document))])
    polled(device, "ok", ago=0)
    PollState.objects.update(newest_sample_at=now)
    Device.objects.update(hostname='odd "name"\\')
    return device


def test_the_newest_values_with_their_times(anonymous: APIClient, sampled: Device) -> None:
    samples = scrape(anonymous, "/api/v1/metrics/prometheus")
    assert value(samples, "nms_device_up", device_id=str(sampled.pk)) == 1
    values = {each.labels["path"]: each for each in samples if each.name == "nms_device_value"}
    assert {path: each.value for path, each in values.items()} == {
        "cpu.total": 41.5,
        "cpu.0": 40,
        "cpus": 8,
        'net.a"b\\\\c\nd': 7,
    }
    assert values["cpus"].labels["hostname"] == 'odd "name"\\'
    newest = PollState.objects.get().newest_sample_at
    assert newest is not None
    assert float(str(values["cpus"].timestamp)) == pytest.approx(to_microseconds(newest) / 1e6, abs=0.002)


def test_only_some_paths(anonymous: APIClient, sampled: Device) -> None:
    samples = scrape(anonymous, "/api/v1/metrics/prometheus", path="cpu")
    assert {each.labels["path"] for each in samples if "path" in each.labels} == {"cpu.total", "cpu.0"}


def test_devices_without_samples_and_off_the_schedule_say_nothing(
    anonymous: APIClient, sampled: Device, ping_device: Device
) -> None:
    Device.objects.filter(pk=sampled.pk).update(status="inactive")
    assert scrape(anonymous, "/api/v1/metrics/prometheus") == []


@pytest.mark.parametrize(
    ("kind", "ago", "fields", "expected"),
    [
        ("ok", 60, {}, [1]),
        ("ping_failed", 60, {}, [0]),
        ("auth_failed", 60, {}, [0]),
        ("ok", 130, {}, []),  # nobody has asked it for two intervals
        ("lost", 60, {}, []),
        ("plugin_error", 60, {}, []),
        ("poll_failed", 60, {"error_code": "quota"}, []),
        ("auth_failed", 60, {"attempted": False}, []),
    ],
)
def test_up_is_only_what_is_known_and_fresh(
    anonymous: APIClient, device: Device, kind: str, ago: float, fields: dict[str, Any], expected: list[int]
) -> None:
    polled(device, kind, ago=ago, **fields)
    samples = scrape(anonymous, "/api/v1/metrics/prometheus")
    assert [each.value for each in samples if each.name == "nms_device_up"] == expected


# --- Who may read it ---


@pytest.mark.parametrize("url", ["/metrics", "/api/v1/metrics/prometheus"])
def test_the_token_or_a_login(anonymous: APIClient, api: APIClient, settings: Any, url: str) -> None:
    assert anonymous.get(url).status_code == 401
    assert anonymous.get(url, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert api.get(url).status_code == 200
    settings.NMS_PROMETHEUS_TOKEN = ""
    assert anonymous.get(url, headers={"authorization": "Bearer "}).status_code == 401


def test_the_token_opens_nothing_else(anonymous: APIClient) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert anonymous.get("/api/v1/devices", headers=headers).status_code == 401
    assert anonymous.post("/api/v1/metrics", {"device_ids": [1]}, headers=headers).status_code == 401


def test_the_dashboards_ask_for_what_there_is(anonymous: APIClient, sampled: Device) -> None:
    names = {each.name for each in scrape(anonymous, "/metrics")}
    names |= {each.name for each in scrape(anonymous, "/api/v1/metrics/prometheus")}
    names |= {"nms_plugin_ends_total", "nms_rollup_done_timestamp_seconds"}  # once there is one
    pages = sorted(DASHBOARDS.glob("*.json"))
    assert pages
    for page in pages:
        dashboard = json.loads(page.read_text())
        asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
        assert asked
        for expression in asked:
            used = {
                word
                for word in expression.replace("(", " ").replace("{", " ").replace("[", " ").split()
                if word.startswith("nms_")
            }
            assert used, expression
            assert used <= names, expression
