"""GET metrics/export: CSV and newline-delimited JSON of any range, whole or said to be cut off."""

import csv
import io
import json
import tracemalloc
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from rest_framework.test import APIClient

from devices.models import CredentialProfile, Device
from devices.services import database_now
from metrics.export import PAGE_ROWS, Export, Form, export_lines
from metrics.partitions import partitions_ensure
from metrics.sample_rollups import SAMPLES
from metrics.tests.helpers import advance
from metrics.writer import SampleRow, samples_copy
from polling.tests.conftest import winrm_device

pytestmark = pytest.mark.django_db
URL = "/api/v1/metrics/export"
DAY = timedelta(days=1)
ODD = 'say "hi",\n=1+1 \\ ключ'


@pytest.fixture
def now() -> datetime:
    return database_now()


@pytest.fixture
def fleet(winrm_credential: CredentialProfile, now: datetime) -> list[Device]:
    """Two devices with a sample every 12 hours for two days."""
    devices = [winrm_device(winrm_credential, last) for last in (1, 2)]
    rows = [
        SampleRow(device.pk, at, at, json.dumps({"cpu": {"total": n, "0": n / 2}, "text": ODD}))
        for device in devices
        for n in range(4)
        for at in [now - n * DAY / 2 - timedelta(minutes=10)]
    ]
    with connection.cursor() as cursor:
        samples_copy(cursor, rows)
    return devices


def text(api: APIClient, **parameters: Any) -> str:
    answer = api.get(URL, parameters)
    assert answer.status_code == 200, answer.content
    return answer.getvalue().decode()


def lines(api: APIClient, **parameters: Any) -> list[Any]:
    return [json.loads(line) for line in text(api, **parameters).splitlines()]


def test_whole_documents_one_on_a_line_and_an_end(api: APIClient, fleet: list[Device], now: datetime) -> None:
    *rows, end = lines(api, start=(now - 3 * DAY).isoformat())
    assert end == {"end": True, "rows": 8}
    assert len(rows) == 8
    assert [row["due_at"][:10] for row in rows] == sorted(row["due_at"][:10] for row in rows)
    assert {row["data"]["text"] for row in rows} == {ODD}
    assert datetime.fromisoformat(rows[-1]["sampled_at"]) == now - timedelta(minutes=10)


def test_paths_of_some_devices(api: APIClient, fleet: list[Device], now: datetime) -> None:
    (row, _) = lines(api, device_id=fleet[1].pk, path=["cpu.total", "nothing", "text"])
    assert row["device_id"] == fleet[1].pk
    assert row["values"] == {"cpu.total": 0, "nothing": None, "text": ODD}


def test_csv_has_a_column_for_each_path(api: APIClient, fleet: list[Device], now: datetime) -> None:
    start = (now - 3 * DAY).isoformat()
    body = text(
        api, output="csv", path=["cpu.total", 'odd"; DROP', "text"], device_id=fleet[0].pk, start=start
    )
    header, *rows = list(csv.reader(io.StringIO(body)))
    assert header == ["device_id", "due_at", "sampled_at", "cpu.total", 'odd"; DROP', "text"]
    assert [row[3:] for row in rows] == [[str(n), "", ODD] for n in (3, 2, 1, 0)]


def test_csv_of_whole_documents(api: APIClient, fleet: list[Device]) -> None:
    header, *rows = list(csv.reader(io.StringIO(text(api, output="csv"))))
    assert header == ["device_id", "due_at", "sampled_at", "data"]
    assert [json.loads(row[3])["text"] for row in rows] == [ODD, ODD]


@pytest.mark.parametrize("level", ["raw", "1h"])
def test_deleted_devices_are_left_out(api: APIClient, fleet: list[Device], now: datetime, level: str) -> None:
    advance(SAMPLES, now)
    gone = fleet[0].pk
    fleet[0].delete()
    rows = lines(api, start=(now - 3 * DAY).isoformat(), level=level)[:-1]
    assert {row["device_id"] for row in rows} == {device.pk for device in fleet} - {gone, None}


@pytest.mark.parametrize("output", ["csv", "ndjson"])
def test_what_cannot_begin_is_no_download(
    api: APIClient, fleet: list[Device], monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    def away(*_: Any) -> bytes:
        raise OperationalError("connection refused")

    monkeypatch.setattr("metrics.export._page", away)
    answer = api.get(URL, {"output": output})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("output", ["csv", "ndjson"])
def test_rollups_have_a_line_for_each_path(
    api: APIClient, fleet: list[Device], now: datetime, output: str
) -> None:
    advance(SAMPLES, now)
    parameters = {"start": (now - 3 * DAY).isoformat(), "level": "1h", "path": "cpu.total", "output": output}
    if output == "csv":
        rows = list(csv.DictReader(io.StringIO(text(api, **parameters))))
    else:
        *rows, end = lines(api, **parameters)
        assert end["rows"] == len(rows)
    assert list(rows[0]) == ["device_id", "start_at", "path", "min", "max", "avg", "sum", "count", "last"]
    finished = sorted(
        float(row["max"]) for row in rows if float(row["max"]) > 0
    )  # the newest may not be, yet
    assert finished == [1, 1, 2, 2, 3, 3]
    assert {(row["path"], int(row["count"])) for row in rows} == {("cpu.total", 1)}


def test_what_a_host_says_is_no_formula(api: APIClient, device: Device, now: datetime) -> None:
    document = {"=cmd|x!A0": -7, "name": "=HYPERLINK(1)", "@list": ["+1"], "low": -5}
    with connection.cursor() as cursor:
        samples_copy(cursor, [SampleRow(device.pk, now - 2 * DAY, now - 2 * DAY, json.dumps(document))])
    start = (now - 3 * DAY).isoformat()
    body = text(api, output="csv", path=["=cmd|x!A0", "name", "@list", "low"], start=start)
    header, row = csv.reader(io.StringIO(body))
    assert header[3:] == ["'=cmd|x!A0", "name", "'@list", "low"]
    assert row[3:] == ["-7", "'=HYPERLINK(1)", '["+1"]', "-5"]
    (sample, _) = lines(api, path=["=cmd|x!A0", "name"], start=start)
    assert sample["values"] == {"=cmd|x!A0": -7, "name": "=HYPERLINK(1)"}
    advance(SAMPLES, now)
    rows = list(csv.DictReader(io.StringIO(text(api, output="csv", level="1h", start=start))))
    assert [row["path"] for row in rows] == ["'=cmd|x!A0", "low"]
    *rolled, _ = lines(api, level="1h", start=start)
    assert [row["path"] for row in rolled] == ["=cmd|x!A0", "low"]


def test_an_empty_range_is_a_whole_export(api: APIClient) -> None:
    assert lines(api) == [{"end": True, "rows": 0}]
    assert text(api, output="csv", level="1d").count("\n") == 1


def test_a_reader_who_goes_away_leaves_the_connection_usable(fleet: list[Device], now: datetime) -> None:
    export = Export(Form.NDJSON, "raw", now - 3 * DAY, now, None, [])
    pieces = export_lines(export)
    next(pieces)
    pieces.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_from_the_beginning_of_time_to_its_end(api: APIClient, fleet: list[Device]) -> None:
    """Only what there is is read: not 2.5 million days."""
    for level in ("raw", "5m", "1h", "1d"):
        *rows, end = lines(api, start="1970-01-02T00:00:00Z", end="9000-01-01T00:00:00Z", level=level)
        assert end["rows"] == len(rows) == (8 if level == "raw" else 0)


def test_pages_neither_repeat_nor_miss_a_row(winrm_credential: CredentialProfile, now: datetime) -> None:
    devices = [winrm_device(winrm_credential, last).pk for last in (1, 2, 3)]
    start = now - 3 * DAY
    partitions_ensure("metrics_sample", start, start + DAY)  # of the third day in the DEFAULT one
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metrics_sample SELECT id, at, at, jsonb_build_object('n', extract(epoch FROM at)) "
            "FROM unnest(%s) AS id, generate_series(%s::timestamptz, %s, '100 seconds') AS at",
            [devices, start, now],
        )
        cursor.execute("SELECT count(*) FROM metrics_sample")
        (count,) = cursor.fetchone()
    assert count > 3 * PAGE_ROWS
    export = Export(Form.NDJSON, "raw", start, now + DAY, None, [["n"]])
    *rows, end = [json.loads(line) for line in b"".join(export_lines(export)).splitlines()]
    assert end["rows"] == len(rows) == count
    keys = [(row["due_at"][:10], row["device_id"], row["due_at"]) for row in rows]
    assert keys == sorted(set(keys))
    some = Export(Form.NDJSON, "raw", start, now + DAY, devices[1:2], [["n"]])
    assert len(b"".join(export_lines(some)).splitlines()) == count / 3 + 1


def test_large_documents_make_small_pages(device: Device, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metrics_sample SELECT %s, at, at, jsonb_build_object('text', ("
            "  SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 6000) "
            "  WHERE at IS NOT NULL)) "
            "FROM generate_series(%s::timestamptz - interval '100 seconds', %s, '1 second') AS at",
            [device.pk, now, now],
        )
    pieces = list(map(len, export_lines(Export(Form.NDJSON, "raw", now - DAY, now, None, []))))
    assert sum(pieces) > 15_000_000
    assert max(pieces) < 10_000_000


def test_a_reader_who_stands_still_blocks_nobody(fleet: list[Device], now: datetime) -> None:
    pieces = export_lines(Export(Form.NDJSON, "raw", now - 3 * DAY, now, None, []))
    next(pieces)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_cursors WHERE is_holdable")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT 1")  # no COPY is under way on the connection
    assert len(list(pieces)) >= 1


@pytest.mark.slow
def test_memory_does_not_grow_with_the_range(device: Device, now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO metrics_sample SELECT %s, at, at, jsonb_build_object('text', repeat('x', 1000)) "
            "FROM generate_series(%s::timestamptz - interval '1 day', %s, '2 seconds') AS at",
            [device.pk, now, now],
        )

    def peak(length: timedelta) -> tuple[int, int]:
        tracemalloc.start()
        size = sum(map(len, export_lines(Export(Form.NDJSON, "raw", now - length, now, None, []))))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return size, most

    (small, small_peak), (large, large_peak) = peak(DAY / 6), peak(DAY)
    assert large > 5 * small > 35_000_000
    assert large_peak < small_peak + 500_000


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"output": "xml"}, "output"),
        ({"level": "2h"}, "level"),
        ({"device_id": "x"}, "device_id"),
        ({"path": "a..b"}, "path"),
        ({"start": "2026-02-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "start"),
    ],
)
def test_bad_parameters_are_named(api: APIClient, parameters: dict[str, str], field: str) -> None:
    answer = api.get(URL, parameters)
    assert answer.status_code == 400
    assert any(name.startswith(field) for name in answer.json()["error"]["fields"])


def test_needs_a_login(anonymous: APIClient) -> None:
    assert anonymous.get(URL).status_code == 401
