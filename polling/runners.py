"""The runners of this worker process: one for each plugin, shared by all its threads, closed when the worker
ends.
"""

import threading

from celery.signals import worker_shutdown
from django.conf import settings

from plugins.registry import Plugin
from polling.runner import BatchRunner, Runner
from polling.stream import StreamRunner

_lock = threading.Lock()
_runners: dict[str, Runner] = {}


def runner_for(plugin: Plugin) -> Runner:
    with _lock:
        if plugin.id not in _runners:
            _runners[plugin.id] = _build(plugin)
        return _runners[plugin.id]


def _build(plugin: Plugin) -> Runner:
    if not plugin.has_stream_mode:
        return BatchRunner(plugin)
    return StreamRunner(
        plugin,
        in_flight=settings.NMS_PLUGIN_IN_FLIGHT,
        silence_seconds=settings.NMS_PLUGIN_SILENCE_SECONDS,
    )


def close_all() -> None:
    """Ends the plugins; what they were working on is put back by its tasks."""
    with _lock:
        closing = list(_runners.values())
    for runner in closing:
        runner.close()


worker_shutdown.connect(lambda **_: close_all(), weak=False)
