"""What the store stage counts, and the system's figures in Prometheus's terms."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import redis
from django.db.models import Count
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from devices.models import Device
from nms_project.broker import COUNTER as DROPPED_COUNTER
from nms_project.queues import queue_names
from nms_project.telemetry import count, counters
from polling.backlog import queue_lengths
from polling.fleet import LATENESS_BOUNDS, schedule_state
from polling.models import ParkedMessage, VerdictKind
from polling.slots import Report
from polling.upkeep import levels_state

MICROSECONDS = 1_000_000
BOUNDS_US = [int(bound * MICROSECONDS) for bound in LATENESS_BOUNDS]


def stored_count(reports: Sequence[Report], seconds: float) -> None:
    """One batch that was committed. Delivered again, it is counted again: these are rates, the ledger is
    exact.
    """
    amounts: Counter[tuple[str, str]] = Counter(("verdicts", report.kind.value) for report in reports)
    amounts["store_slots", ""] = len(reports)
    amounts["store_batches", ""] = 1
    amounts["store_us", ""] = int(seconds * MICROSECONDS)
    for report in reports:
        if report.started_us is not None:
            late_us = max(0, report.started_us - report.due_us)
            amounts["lateness", str(bisect_left(BOUNDS_US, late_us))] += 1
            amounts["lateness_us", ""] += late_us
    count(amounts)


class System(Collector):
    """Reads everything once, at `now`."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def collect(self) -> Iterator[Metric]:
        yield from self._database()
        is_up = GaugeMetricFamily(
            "nms_redis_up", "Whether Redis answers; without it its figures are missing."
        )
        try:
            figures = [*self._queues(), *self._counters()]
        except redis.RedisError:
            is_up.add_metric([], 0)
            yield is_up
            return
        is_up.add_metric([], 1)
        yield is_up
        yield from figures

    def _database(self) -> Iterator[Metric]:
        devices = GaugeMetricFamily("nms_devices", "Devices by status.", labels=["status"])
        for status, number in Device.objects.values_list("status").annotate(Count("pk")).order_by():
            devices.add_metric([status], number)
        yield devices
        schedule = schedule_state(self.now)
        oldest = (self.now - schedule.oldest_due_at).total_seconds() if schedule.oldest_due_at else 0
        yield GaugeMetricFamily("nms_devices_overdue", "Due, but not claimed yet.", value=schedule.overdue)
        yield GaugeMetricFamily(
            "nms_oldest_due_seconds", "For how long the oldest of them has been.", value=oldest
        )
        yield GaugeMetricFamily("nms_leases", "Slots that are being worked on.", value=schedule.leased)
        parked = ParkedMessage.objects.count()
        yield GaugeMetricFamily("nms_parked_messages", "Messages that killed their workers.", value=parked)
        labels = ["ladder", "level"]
        done = GaugeMetricFamily(
            "nms_rollup_done_timestamp_seconds", "Up to where a level is made.", labels=labels
        )
        late = GaugeMetricFamily("nms_rollup_late_intervals", "Marked to be made again.", labels=labels)
        for ladder, state in levels_state(self.now):
            late.add_metric([ladder, state.level.name], state.late)
            if state.done_until is not None:
                done.add_metric([ladder, state.level.name], state.done_until.timestamp())
        yield from (done, late)

    def _queues(self) -> Iterator[Metric]:
        queues = GaugeMetricFamily("nms_queue_messages", "Messages that wait.", labels=["queue"])
        for name, length in queue_lengths(queue_names()).items():
            queues.add_metric([name], length)
        yield queues

    def _counters(self) -> Iterator[Metric]:
        known = Counter(counters())
        verdicts = CounterMetricFamily("nms_verdicts", "Stored verdicts by kind.", labels=["kind"])
        for kind in VerdictKind:
            verdicts.add_metric([kind.value], known["verdicts", kind.value])
        yield verdicts
        ends = CounterMetricFamily(
            "nms_plugin_ends",
            "Plugin processes that ended by themselves, or had to be killed.",
            labels=["plugin"],
        )
        for (name, plugin), number in sorted(known.items()):
            if name == "plugin_ends":
                ends.add_metric([plugin], number)
        yield ends
        yield _total(
            "nms_messages_dropped", "Messages that no worker could read.", known[DROPPED_COUNTER, ""]
        )
        yield _total("nms_store_slots", "Slots stored.", known["store_slots", ""])
        yield _total("nms_store_batches", "Batches stored.", known["store_batches", ""])
        yield _total("nms_store_seconds", "Time spent storing.", known["store_us", ""] / MICROSECONDS)
        yield _lateness(known)


def _total(name: str, words: str, value: float) -> Metric:
    return CounterMetricFamily(name, words, value=value)


def _lateness(known: Counter[tuple[str, str]]) -> Metric:
    buckets, running = [], 0
    for position, bound in enumerate([*map(str, LATENESS_BOUNDS), "+Inf"]):
        running += known["lateness", str(position)]
        buckets.append((bound, running))
    family = HistogramMetricFamily("nms_poll_lateness_seconds", "From due to begun.")
    family.add_metric([], buckets, sum_value=known["lateness_us", ""] / MICROSECONDS)
    return family


def system_text(now: datetime) -> bytes:
    """The exposition text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(System(now))
    return generate_latest(registry)
