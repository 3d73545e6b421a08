"""Clients beside a measurement, in a process of their own: the measured one must not wait for their work."""

import threading
from collections.abc import Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import Any

import requests

Query = Mapping[str, str]


class Crowd:
    """`clients` people with a connection each, who ask for each of `queries` in turn, with `pause_seconds`
    between two.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, Any],
        queries: Sequence[Query],
        *,
        clients: int,
        pause_seconds: float,
    ) -> None:
        spawn = get_context("spawn")  # nothing of the measuring process
        self._answered: Synchronized[int] = spawn.Value("i", 0)
        self._failed: Synchronized[int] = spawn.Value("i", 0)
        self._ended = spawn.Event()
        what = (url, dict(headers), queries, clients, pause_seconds)
        self._process = spawn.Process(
            target=_run, args=(what, self._answered, self._failed, self._ended), daemon=True
        )

    @property
    def answered(self) -> int:
        return self._answered.value

    @property
    def failed(self) -> int:
        return self._failed.value

    def __enter__(self) -> "Crowd":
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._process.join()


def _run(what: Any, answered: "Synchronized[int]", failed: "Synchronized[int]", ended: Event) -> None:
    url, headers, queries, clients, pause = what
    leave = threading.Event()  # to wait for one that processes share wakes up often

    def ask(number: int) -> None:
        leave.wait(pause * number / clients)
        with requests.Session() as session:
            session.headers.update(headers)
            session.trust_env = False
            while not leave.wait(pause):
                query = queries[number % len(queries)]
                answer = session.get(url, params={"page_size": "50", **query}, timeout=30)
                with answered, failed:
                    answered.value += 1
                    failed.value += not answer.ok
                number += 1

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    ended.wait()
    leave.set()
    for thread in threads:
        thread.join()
