"""Samples put in as the store stage puts them, and rollups of them."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from devices.schedule import to_microseconds
from metrics.models import LateMark, Layout, Rollup1d, Rollup1h, Rollup5m, RollupProgress, Sample, Trimmed
from metrics.rollups import Ladder, ladder_advance
from polling.models import Verdict, VerdictKind
from polling.slots import Report
from polling.store import reports_store


def report_of(device_id: int, at: datetime, document: Any) -> Report:
    """A good answer for the slot `at`; `document` is JSON text, or what becomes it."""
    due_us = to_microseconds(at)
    text = document if isinstance(document, str) else json.dumps(document)
    return Report(device_id, due_us, VerdictKind.OK, sampled_us=due_us, document=text)


def store(samples: Mapping[tuple[int, datetime], Any]) -> None:
    """{(device id, due at): document}"""
    reports_store([report_of(device_id, at, document) for (device_id, at), document in samples.items()])


def advance(ladder: Ladder, now: datetime) -> None:
    """Until nothing is left, however slow the machine is."""
    assert ladder_advance(ladder, now=now, seconds=600)


@contextmanager
def long_reader(table: str) -> Iterator[None]:
    """Another connection in the middle of reading `table`."""
    begun, done = threading.Event(), threading.Event()

    def read() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            begun.set()
            done.wait(30)
        connection.close()

    thread = threading.Thread(target=read)
    thread.start()
    begun.wait(10)
    yield
    done.set()
    thread.join()


def forget_everything() -> None:
    """Faster than TRUNCATE, which makes new files for every partition."""
    for model in (Verdict, Sample, Rollup5m, Rollup1h, Rollup1d, RollupProgress, LateMark, Layout, Trimmed):
        model._default_manager.all().delete()
