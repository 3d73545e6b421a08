"""The end of a worker: what waits on a slow host must not hold it for longer than a few seconds.

Celery lets running tasks finish. Two seconds after it was told to stop, plugins are closed, the poll tasks
under way put their messages back, and other workers take them up while the lease lasts.
"""

import threading

from celery.signals import worker_shutting_down

from polling.runners import close_all

FINISH_SECONDS = 2.0

stopping = threading.Event()


@worker_shutting_down.connect
def _stop(**_: object) -> None:
    """Called inside a signal handler, which must return at once."""
    if not stopping.is_set():
        stopping.set()
        timer = threading.Timer(FINISH_SECONDS, close_all)
        timer.daemon = True
        timer.start()
