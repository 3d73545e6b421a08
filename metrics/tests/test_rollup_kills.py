"""The roll-up and the store, killed at their statements: what was begun leaves nothing, and goes on."""

import math
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.utils import InterfaceError, OperationalError

from devices.models import CredentialProfile, Deletion, Device
from metrics.models import RollupProgress
from metrics.partitions import partitioned, partitions_ensure, partitions_list
from metrics.retention import deletions_advance, history_trim
from metrics.rollups import ladder_advance
from metrics.sample_rollups import SAMPLES
from metrics.tests.helpers import advance, report_of, store
from polling.store import reports_store
from polling.tests.conftest import winrm_device
from polling.verdict_rollups import VERDICTS

pytestmark = [pytest.mark.usefixtures("committed"), pytest.mark.slow]
START = datetime(2030, 4, 1, 22, 50, tzinfo=UTC)
LATER = START + timedelta(minutes=73)  # just after midnight: little work, on every level
TABLES = (*partitioned(), "metrics_latemark", "metrics_rollupprogress", "metrics_layout", "metrics_trimmed")
MOST_KILLS = 25
IGNORED = {"metrics_latemark": "id", "metrics_rollupprogress": "updated_at"}


def tables() -> dict[str, list[Any]]:
    """Everything that history consists of."""
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT to_jsonb(t) - %s FROM {table} AS t", [IGNORED.get(table, "")])
            found[table] = sorted(str(row) for (row,) in cursor.fetchall())
    return found


def empty() -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")


@contextmanager
def killed_at(statement: int) -> Iterator[list[int]]:
    """The server ends our connection just before the given statement; the list holds how many there were."""
    seen = [0]

    def kill(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        seen[0] += 1
        if seen[0] == statement:
            pid = connection.connection.info.backend_pid
            with _other() as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(kill):
        yield seen


def _other() -> psycopg.Connection[Any]:
    info = connection.connection.info
    return psycopg.connect(
        host=info.host, port=info.port, user=info.user, dbname=info.dbname, autocommit=True
    )


def killed_everywhere(work: Callable[[], Any], prepare: Callable[[], Any]) -> int:
    """Compares the tables after each killed and repeated run with those of an undisturbed one; returns how
    many statements that has.

    Of many statements every n-th ends a run, from another one on each time. Work that says the same few for
    each partition meets all of them: n has no divisor in common with how many they are.
    """
    empty()
    prepare()
    with killed_at(0) as seen:
        work()
    statements, expected = seen[0], tables()
    stride = max(1, statements // MOST_KILLS)
    while stride > 1 and math.gcd(stride, 6) > 1:
        stride += 1
    for statement in range(random.randint(1, stride), statements + 1, stride):
        empty()
        prepare()
        with killed_at(statement):
            try:
                work()
            except (OperationalError, InterfaceError):
                connection.close()
        work()
        assert tables() == expected, f"killed at statement {statement}"
    return statements


def samples(three: list[Device]) -> dict[tuple[int, datetime], Any]:
    return {
        (device.pk, START + timedelta(minutes=minute)): {"a": minute, "b": {"c": 1}}
        for device in three
        for minute in (0, 1, 7, 40)
    }


def test_a_killed_rollup_leaves_what_an_undisturbed_one_leaves(three: list[Device]) -> None:
    everything = samples(three)
    late = {key: document for key, document in everything.items() if key[1].minute == 51}

    def prepare() -> None:
        store({key: document for key, document in everything.items() if key not in late})
        advance(SAMPLES, START + timedelta(minutes=55))
        store(late)  # to be repaired

    statements = killed_everywhere(lambda: advance(SAMPLES, LATER), prepare)
    assert statements > 40


def test_a_killed_store_leaves_what_an_undisturbed_one_leaves(three: list[Device]) -> None:
    reports = [report_of(pk, at, document) for (pk, at), document in samples(three).items()]

    def prepare() -> None:
        advance(SAMPLES, START + timedelta(minutes=30))  # so that some of it is late
        reports_store(reports[:2])  # so that the fast way collides

    statements = killed_everywhere(lambda: reports_store(reports), prepare)
    assert statements > 5


def test_killed_trimming_leaves_what_an_undisturbed_one_leaves(three: list[Device], settings: Any) -> None:
    settings.NMS_RETENTION_SAMPLES_DAYS = settings.NMS_RETENTION_VERDICTS_DAYS = 2
    settings.NMS_RETENTION_5M_DAYS = 3
    now = LATER + timedelta(days=10)
    tables = ("metrics_sample", "polling_verdict")

    def prepare() -> None:
        store(samples(three))  # of the second day in no partition
        for table in tables:
            partitions_ensure(table, START, START)
        for level in (*SAMPLES.levels, *VERDICTS.levels):
            RollupProgress.objects.create(level=level.key, done_until=now, sealed_until=now)

    def work() -> None:
        history_trim(now)

    def left() -> set[int]:
        return {len([each for each in partitions_list(table) if each.lower.year == 2030]) for table in tables}

    prepare()
    work()  # also of partitions that other tests have left
    statements = killed_everywhere(work, prepare)
    assert statements > 50
    assert left() == {0}


def test_killed_erasing_leaves_what_an_undisturbed_one_leaves(
    three: list[Device], winrm_credential: CredentialProfile
) -> None:
    erased: list[int] = []

    def prepare() -> None:
        Deletion.objects.all().delete()
        Device.objects.filter(hostname="win-9").delete()
        Deletion.objects.all().delete()
        device = winrm_device(winrm_credential, 9)
        store({(device.pk, START + timedelta(minutes=n)): {"a": n} for n in range(4)})
        store(samples(three))
        advance(SAMPLES, LATER)
        device.delete()

    def work() -> None:
        moment = Deletion.objects.get().deleted_at + timedelta(minutes=3)
        while deletions_advance(moment):
            pass
        erased.append(Deletion.objects.get().rows_erased)

    statements = killed_everywhere(work, prepare)
    assert statements > 100
    # Four samples with their verdicts, a row of 5 minutes, of an hour and of a day.
    assert set(erased) == {11}


def test_a_sample_being_stored_while_its_interval_is_sealed_is_not_missed(three: list[Device]) -> None:
    advance(SAMPLES, START)
    finished = threading.Event()

    def roll_up() -> None:
        ladder_advance(SAMPLES, now=START + timedelta(minutes=10))
        finished.set()
        connection.close()

    roller = threading.Thread(target=roll_up)
    with transaction.atomic():
        store({(three[0].pk, START + timedelta(minutes=1)): {"a": 1}})  # not committed yet
        roller.start()
        assert not finished.wait(0.5)
    roller.join()
    advance(SAMPLES, LATER)
    with connection.cursor() as cursor:
        cursor.execute("SELECT samples FROM metrics_rollup_1d")
        assert cursor.fetchall() == [(1,)]


def test_two_workers_on_one_ladder_do_no_harm(three: list[Device]) -> None:
    store(samples(three))
    errors: list[BaseException] = []

    def work() -> None:
        try:
            ladder_advance(SAMPLES, now=LATER)
        except BaseException as error:  # noqa: BLE001 (shown by the assertion)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    advance(SAMPLES, LATER)
    assert errors == []
    shared = tables()
    empty()
    store(samples(three))
    advance(SAMPLES, LATER)
    assert tables() == shared
