"""The store stage: every slot once, verdict and sample of one answer, and rows PostgreSQL cannot hold."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from devices.models import CredentialProfile, Device, PollState
from devices.schedule import to_microseconds
from metrics.models import Sample
from polling.claim import leases_expire, slots_claim
from polling.models import Verdict, VerdictKind
from polling.slots import Report
from polling.store import reports_store
from polling.tests.conftest import verdict_kinds, winrm_device

pytestmark = pytest.mark.usefixtures("committed")


@pytest.fixture
def report(device: Device) -> Report:
    """A good answer for the device's leased slot."""
    ((claimed,), _) = slots_claim(limit=10, lease_seconds=40)
    due_us = to_microseconds(claimed.due_at)
    return Report(
        device_id=device.pk,
        due_us=due_us,
        kind=VerdictKind.OK,
        started_us=due_us + 1_000,
        duration_ms=12.5,
        rtt_ms=0.25,
        loss_percent=0.0,
        sampled_us=due_us + 2_000,
        document='{"cpu": {"total": 12.5}}',
    )


def test_verdict_and_sample_are_stored_and_the_lease_ends(report: Report) -> None:
    reports_store([report])
    verdict = Verdict.objects.get()
    assert (verdict.kind, verdict.rtt_ms, verdict.duration_ms, verdict.attempted) == ("ok", 0.25, 12.5, True)
    sample = Sample.objects.get()
    assert sample.data == {"cpu": {"total": 12.5}}
    assert to_microseconds(sample.sampled_at) == report.sampled_us
    state = PollState.objects.get()
    assert (state.lease_due_at, state.leased_until, state.last_verdict) == (None, None, "ok")


def test_delivered_again_it_changes_nothing(report: Report) -> None:
    reports_store([report])
    reports_store([report])
    assert Verdict.objects.count() == Sample.objects.count() == 1


def test_the_first_answer_stands_with_its_own_sample(report: Report) -> None:
    reports_store([report])
    reports_store([replace(report, document='{"cpu": {"total": 99}}', rtt_ms=9.0)])
    reports_store([replace(report, kind=VerdictKind.TIMEOUT, document=None)])
    assert Sample.objects.get().data == {"cpu": {"total": 12.5}}
    assert Verdict.objects.get().rtt_ms == 0.25
    assert PollState.objects.get().last_verdict == "ok"


def test_twice_in_one_batch_is_stored_once(report: Report) -> None:
    reports_store([report, report, replace(report, kind=VerdictKind.TIMEOUT, document=None)])
    assert verdict_kinds(report.device_id) == ["ok"]
    assert Sample.objects.count() == 1


def test_lost_gives_way_to_a_real_answer(report: Report) -> None:
    PollState.objects.update(leased_until=report.due_at - timedelta(seconds=1))
    assert leases_expire(limit=10) == 1
    reports_store([report])
    assert verdict_kinds(report.device_id) == ["ok"]
    assert Sample.objects.count() == 1
    assert PollState.objects.get().last_verdict == "ok"


def test_a_real_answer_never_gives_way_to_lost(report: Report) -> None:
    reports_store([report])
    reports_store([replace(report, kind=VerdictKind.LOST, document=None)])
    assert verdict_kinds(report.device_id) == ["ok"]


def test_an_answer_for_an_older_slot_keeps_the_lease_of_the_newer(report: Report) -> None:
    older = replace(report, due_us=report.due_us - 60_000_000)
    reports_store([older])
    assert PollState.objects.get().lease_due_at == report.due_at


def test_rows_of_deleted_devices_are_dropped_and_the_others_stored(report: Report) -> None:
    reports_store([replace(report, device_id=report.device_id + 1_000), report])
    assert Verdict.objects.count() == Sample.objects.count() == 1


def test_a_failed_poll_has_no_sample(report: Report) -> None:
    reports_store([replace(report, kind=VerdictKind.TIMEOUT, document=None)])
    assert Sample.objects.count() == 0


@pytest.mark.parametrize("document", ["not json", '{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"a": 1e999999}'])
def test_a_bad_document_becomes_a_plugin_error_and_holds_up_nobody(
    report: Report, winrm_credential: CredentialProfile, document: str
) -> None:
    others = [replace(report, device_id=winrm_device(winrm_credential, last).pk) for last in range(2, 9)]
    bad = replace(report, document=document)
    reports_store([*others[:3], bad, *others[3:]])
    assert verdict_kinds(report.device_id) == ["plugin_error"]
    assert Sample.objects.count() == len(others)
    assert Verdict.objects.filter(kind="ok").count() == len(others)


def test_a_bad_document_is_found_also_in_a_batch_delivered_before(
    report: Report, winrm_credential: CredentialProfile
) -> None:
    other = replace(report, device_id=winrm_device(winrm_credential, 2).pk)
    reports_store([other])
    reports_store([other, replace(report, document="not json")])
    assert verdict_kinds(report.device_id) == ["plugin_error"]
    assert Sample.objects.count() == 1


def test_a_nul_in_an_error_text_loses_nothing(report: Report) -> None:
    reports_store([replace(report, kind=VerdictKind.TIMEOUT, document=None, error="a\x00b")])
    assert verdict_kinds(report.device_id) == ["plugin_error"]


def test_an_outage_stores_nothing_and_is_raised(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    from polling import store

    def away(*_: Any) -> None:
        raise OperationalError("the connection is gone")

    monkeypatch.setattr(store, "samples_copy", away)
    with pytest.raises(OperationalError):
        reports_store([report])
    assert Verdict.objects.count() == 0


def test_many_stores_of_the_same_slots_at_once(report: Report, winrm_credential: CredentialProfile) -> None:
    reports = [report] + [
        replace(report, device_id=winrm_device(winrm_credential, last).pk) for last in range(2, 30)
    ]
    errors: list[BaseException] = []

    def store(batch: list[Report]) -> None:
        try:
            reports_store(batch)
        except BaseException as error:  # noqa: BLE001 (shown by the assertion)
            errors.append(error)
        finally:
            connection.close()

    batches = [reports, reports[::-1], reports[5:], reports[:20]]
    threads = [threading.Thread(target=store, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert Verdict.objects.count() == Sample.objects.count() == len(reports)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    deliveries=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.sampled_from(list(VerdictKind))), min_size=1, max_size=6),
        max_size=8,
    )
)
def test_any_order_of_deliveries_keeps_the_first_real_answer(
    report: Report, deliveries: list[list[tuple[int, VerdictKind]]]
) -> None:
    Verdict.objects.all().delete()
    Sample.objects.all().delete()
    expected: dict[int, VerdictKind] = {}
    for batch in deliveries:
        rows = []
        for slot, kind in batch:
            document = f'{{"n": "{kind}"}}' if kind == VerdictKind.OK else None
            rows.append(replace(report, due_us=report.due_us + slot, kind=kind, document=document))
            if expected.get(slot) in (None, VerdictKind.LOST, VerdictKind.OVERRUN):
                is_real = kind not in (VerdictKind.LOST, VerdictKind.OVERRUN)
                expected[slot] = kind if is_real else expected.get(slot, kind)
        reports_store(rows)
    assert verdict_kinds(report.device_id) == [expected[slot] for slot in sorted(expected)]
    assert Sample.objects.count() == sum(kind == VerdictKind.OK for kind in expected.values())
