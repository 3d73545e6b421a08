"""The ledger's endpoints: verdicts, availability and outages, RTT and loss, completeness, the scheduler."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from devices.models import Device, PollState
from devices.services import database_now
from metrics.rollups import GRACE, ladder_advance
from metrics.tests.helpers import advance
from polling.fleet import fleet_hours_fill
from polling.models import FleetHour, Verdict
from polling.verdict_rollups import COUNTS, VERDICTS

pytestmark = pytest.mark.django_db
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return database_now()


def put(device: Device, moment: datetime, kinds: str, **fields: Any) -> None:
    """One verdict a minute from `moment` on: u(p), d(own), a(uth), l(ost), p(lugin error)."""
    names = {"u": "ok", "d": "ping_failed", "a": "auth_failed", "l": "lost", "p": "plugin_error"}
    for n, letter in enumerate(kinds):
        kind = names[letter]
        rtt = {"rtt_ms": 1.0 + n, "loss_percent": 0.0} if letter == "u" else {"loss_percent": 100.0}
        Verdict.objects.create(
            device_id=device.pk,
            due_at=moment + n * MINUTE,
            started_at=moment + n * MINUTE + timedelta(milliseconds=300),
            kind=kind,
            attempted=letter != "l",
            error="" if letter == "u" else f"{kind} at {n}",
            **rtt,
            **fields,
        )


def get(api: APIClient, url: str, **parameters: Any) -> Any:
    answer = api.get(f"/api/v1/{url}", parameters)
    assert answer.status_code == 200, answer.content
    return answer.json()


# --- The ledger itself ---


def test_verdicts_come_newest_first_and_by_cursor(api: APIClient, device: Device, now: datetime) -> None:
    put(device, now - 5 * MINUTE, "uudud")
    first = get(api, f"devices/{device.pk}/verdicts", page_size=2)
    assert [row["kind"] for row in first["results"]] == ["ping_failed", "ok"]
    put(device, now - 10 * MINUTE, "uuuuu")
    rest = api.get(first["next"]).json()
    assert [row["kind"] for row in rest["results"]] == ["ping_failed", "ok"]
    assert rest["results"][0]["error"] == "ping_failed at 2"


def test_verdicts_of_a_kind_and_a_range(api: APIClient, device: Device, now: datetime) -> None:
    put(device, now - 10 * MINUTE, "uudaulpuud")
    found = get(api, f"devices/{device.pk}/verdicts", kind=["lost", "auth_failed"])
    assert [row["kind"] for row in found["results"]] == ["lost", "auth_failed"]
    start, end = (now - 10 * MINUTE).isoformat(), (now - 8 * MINUTE).isoformat()
    assert len(get(api, f"devices/{device.pk}/verdicts", start=start, end=end)["results"]) == 3


# --- Availability ---


def of_range(api: APIClient, device: Device, start: datetime, end: datetime) -> Any:
    return get(api, f"devices/{device.pk}/availability", start=start.isoformat(), end=end.isoformat())


def shown(outages: list[dict[str, Any]], origin: datetime) -> list[tuple[Any, ...]]:
    def minutes(text: str | None) -> float | None:
        return None if text is None else (datetime.fromisoformat(text) - origin) / MINUTE

    return [(minutes(each["start"]), minutes(each["end"]), each["kind"]) for each in outages]


def test_outages_have_start_end_and_reason(api: APIClient, device: Device, now: datetime) -> None:
    origin = now - 30 * MINUTE
    put(device, origin, "uuddpldduuaau")
    answer = of_range(api, device, origin, origin + 20 * MINUTE)
    assert shown(answer["outages"], origin) == [(2, 8, "ping_failed"), (10, 12, "auth_failed")]
    assert answer["outages"][0]["error"] == "ping_failed at 2"
    assert answer["outages"][0]["seconds"] == 360
    assert (answer["monitored_seconds"], answer["outage_seconds"]) == (20 * 60, 8 * 60)
    assert answer["availability_percent"] == pytest.approx(60)
    assert answer["poll_success_percent"] == pytest.approx(100 * 5 / 11)
    assert (answer["due"], answer["answered"], answer["missing"]) == (13, 12, 1)


def test_an_outage_that_lasts_and_one_that_began_before(
    api: APIClient, device: Device, now: datetime
) -> None:
    origin = now - 30 * MINUTE
    put(device, origin, "udddudd")
    answer = of_range(api, device, origin + 2 * MINUTE, now)
    assert shown(answer["outages"], origin) == [(2, 4, "ping_failed"), (5, None, "ping_failed")]
    assert [each["began_before"] for each in answer["outages"]] == [True, False]


def test_rolled_up_ranges_give_the_same_answer(api: APIClient, device: Device, now: datetime) -> None:
    origin = now.replace(minute=50, second=0, microsecond=0) - 30 * HOUR
    put(device, origin, "uud" + "d" * 100 + "uuuu" + "u" * 60 + "pl" + "dau" + "u" * 80 + "d")
    ranges = [(origin, now), (origin + 15 * MINUTE, origin + 4 * HOUR), (origin + HOUR, origin + 2 * HOUR)]
    before = [of_range(api, device, *each) for each in ranges]
    advance(VERDICTS, now)
    assert [of_range(api, device, *each) for each in ranges] == before
    assert len(before[0]["outages"]) == 3


def test_what_says_nothing_of_the_device_counts_for_no_percentage(
    api: APIClient, device: Device, now: datetime
) -> None:
    origin = now.replace(minute=0, second=0, microsecond=0) - 3 * HOUR
    put(device, origin, "uu")
    for n in range(8):
        quota = {"kind": "poll_failed", "error_code": "quota", "attempted": True}
        untried = {"kind": "auth_failed", "error_code": "auth", "attempted": False}
        Verdict.objects.create(
            device_id=device.pk, due_at=origin + (5 + n) * MINUTE, **(quota if n % 2 else untried)
        )
    assert of_range(api, device, origin, now)["availability_percent"] == 100
    advance(VERDICTS, now)
    assert of_range(api, device, origin, now)["availability_percent"] == 100


def test_a_range_that_only_rollups_remember(
    api: APIClient, device: Device, now: datetime, settings: Any
) -> None:
    origin = now.replace(minute=0, second=0, microsecond=0) - 5 * DAY
    put(device, origin + 30 * MINUTE, "udddu")
    advance(VERDICTS, now)
    Verdict.objects.all().delete()
    settings.NMS_RETENTION_VERDICTS_DAYS = 3
    answer = of_range(api, device, origin + 32 * MINUTE, origin + 40 * MINUTE)
    assert datetime.fromisoformat(answer["start"]) == origin
    assert datetime.fromisoformat(answer["end"]) == origin + HOUR
    assert shown(answer["outages"], origin) == [(31, 34, "ping_failed")]


def test_nothing_known_is_no_percentage(api: APIClient, device: Device, now: datetime) -> None:
    put(device, now - 10 * MINUTE, "lpl")
    answer = get(api, f"devices/{device.pk}/availability")
    assert (answer["availability_percent"], answer["outages"]) == (None, [])


# --- RTT and loss ---


def test_rtt_and_loss_in_steps(api: APIClient, device: Device, now: datetime) -> None:
    origin = now.replace(minute=0, second=0, microsecond=0) - 2 * HOUR
    put(device, origin, "uduu")
    parameters = {"start": origin.isoformat(), "end": (origin + HOUR).isoformat(), "step": "1h"}
    raw = get(api, f"devices/{device.pk}/ping", **parameters)
    assert raw["points"] == [
        {
            "timestamp": origin.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "rtt_min": 1.0,
            "rtt_avg": pytest.approx((1 + 3 + 4) / 3),
            "rtt_max": 4.0,
            "loss_percent": 25.0,
            "count": 4,
        }
    ]
    advance(VERDICTS, now)
    assert get(api, f"devices/{device.pk}/ping", **parameters)["points"] == raw["points"]


# --- The fleet ---


def test_completeness_by_hours(api: APIClient, device: Device, ping_device: Device, now: datetime) -> None:
    # Just after the hour, the one before it is not finished yet.
    origin = VERDICTS.levels[0].floor(now - GRACE) - 3 * HOUR
    put(device, origin, "uul")
    put(ping_device, origin, "du")
    put(device, now - MINUTE, "u")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO polling_gap VALUES (%s, %s, 40, 60)", [device.pk, origin + 40 * MINUTE])
    before = get(api, "completeness")
    assert before[0]["verdicts"] == {"ok": 3, "ping_failed": 1, "lost": 1, "skipped": 20}
    assert (before[0]["due"], before[0]["answered"], before[0]["missing"]) == (25, 4, 21)
    assert before[1]["missing"] == 20
    advance(VERDICTS, now)
    added_up = get(api, "completeness")
    assert [hour["availability_percent"] for hour in added_up[:3]] == [None] * 3
    assert fleet_hours_fill()
    after = get(api, "completeness")
    assert [hour["is_finished"] for hour in after[:3]] == [True, True, True]
    assert after[3:]
    assert not any(hour["is_finished"] for hour in after[3:])
    assert [{**hour, "is_finished": False} for hour in after[:3]] == before[:3]
    # One was down for a minute, the other up from its second slot on.
    assert (before[0]["monitored_seconds"], before[0]["outage_seconds"]) == (2 * 3600, 60)
    assert (before[2]["due"], before[2]["monitored_seconds"], before[2]["outage_seconds"]) == (0, 7200, 0)


def test_hours_counted_by_a_clock_that_was_ahead_hide_nothing(
    api: APIClient, device: Device, now: datetime
) -> None:
    hour = VERDICTS.levels[0].floor(now)
    for ahead in range(3):
        FleetHour.objects.create(start_at=hour + ahead * HOUR, devices=1, **dict.fromkeys(COUNTS, 7))
    put(device, hour - HOUR, "uu")
    put(device, now - MINUTE, "u")
    answer = get(api, "completeness", end=(now + 5 * HOUR).isoformat())
    assert sum(each["due"] for each in answer) == 3
    assert not any(each["is_finished"] for each in answer)
    advance(VERDICTS, hour + 2 * HOUR + 5 * MINUTE)
    found = {each.start_at: each for each in FleetHour.objects.all()}
    assert sum(each.ok for start, each in found.items() if start < hour + 2 * HOUR) == 3
    assert found[hour + 2 * HOUR].ok == 7  # not reached yet, and not shown


def test_the_scheduler_shows_what_waits(
    api: APIClient, device: Device, ping_device: Device, now: datetime
) -> None:
    oldest = now - 7 * MINUTE
    PollState.objects.filter(device=device).update(next_poll_at=oldest)
    PollState.objects.filter(device=ping_device).update(next_poll_at=now + HOUR, leased_until=now + HOUR)
    put(device, now - 3 * MINUTE, "uu")
    state = get(api, "scheduler")
    assert (state["active"], state["overdue"], state["leased"]) == (2, 1, 1)
    assert datetime.fromisoformat(state["oldest_due_at"]) == oldest
    assert state["queues"]["control"] == 0
    assert {"poll.0", "store", "history"} <= set(state["queues"])
    polls = {each["seconds"]: each["polls"] for each in state["lateness"]}
    assert (polls[0.25], polls[0.5], polls[None]) == (0, 2, 2)


def test_history_shows_limits_sizes_and_progress(api: APIClient, device: Device, now: datetime) -> None:
    put(device, now - 3 * HOUR, "u")
    before = {(level["ladder"], level["level"]): level for level in get(api, "history")["levels"]}
    assert before["verdicts", "1h"]["done_until"] is None
    assert not ladder_advance(VERDICTS, now=now, seconds=0)
    advance(VERDICTS, now)
    found = get(api, "history")
    levels = {(level["ladder"], level["level"]): level for level in found["levels"]}
    assert levels["verdicts", "1h"]["intervals_behind"] == 0
    tables = {table["table"]: table for table in found["tables"]}
    assert tables["metrics_sample"]["retention_days"] == 30
    assert tables["polling_verdict"]["size_bytes"] > 8_192


@pytest.mark.parametrize(
    ("url", "parameters", "field"),
    [
        ("devices/{id}/verdicts", {"kind": "fine"}, "kind"),
        ("devices/{id}/verdicts", {"start": "x"}, "start"),
        ("devices/{id}/availability", {"end": "9999-12-31T00:00:00Z"}, "end"),
        ("devices/{id}/ping", {"step": "0"}, "step"),
        ("completeness", {"start": "2027-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "start"),
    ],
)
def test_bad_parameters_are_named(
    api: APIClient, device: Device, url: str, parameters: dict[str, str], field: str
) -> None:
    answer = api.get(f"/api/v1/{url.format(id=device.pk)}", parameters)
    assert answer.status_code == 400
    assert any(name.startswith(field) for name in answer.json()["error"]["fields"])


@pytest.mark.parametrize(
    "url",
    [
        "devices/1/verdicts",
        "devices/1/availability",
        "devices/1/ping",
        "completeness",
        "scheduler",
        "history",
    ],
)
def test_reading_needs_a_login(anonymous: APIClient, url: str) -> None:
    assert anonymous.get(f"/api/v1/{url}").status_code == 401


@pytest.mark.parametrize(
    "url", ["devices/999999/verdicts", "devices/999999/availability", "devices/999999/ping"]
)
def test_unknown_devices_are_not_found(api: APIClient, url: str) -> None:
    assert api.get(f"/api/v1/{url}").status_code == 404


def test_the_oldest_and_the_newest_moment_are_no_trouble(api: APIClient, device: Device) -> None:
    start = datetime(1970, 1, 2, tzinfo=UTC).isoformat()
    for url in ("verdicts", "availability", "ping"):
        get(api, f"devices/{device.pk}/{url}", start=start, end="8999-01-01T00:00:00Z")
    get(api, "completeness", start=start)
