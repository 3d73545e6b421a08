"""Samples put in as the store stage puts them, and rollups of them."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from devices.schedule import to_microseconds
from metrics.rollups import Ladder, ladder_advance
from polling.models import VerdictKind
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
    assert ladder_advance(ladder, now=now)
