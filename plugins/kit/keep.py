"""What sessions are kept between polls, and which goes first. Bookkeeping only: no I/O, no locks taken."""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import orjson

from plugins.contract import Task

Session = TypeVar("Session")
Value = TypeVar("Value")
Key = tuple[str, int, bytes]


@dataclass(slots=True)
class Entry(Generic[Session]):
    """A session with the lock of whatever drives the plugin's I/O; whoever works with it holds the lock."""

    session: Session
    lock: Any
    used_at: float = field(default_factory=time.monotonic)


class Keep(Generic[Session]):
    """Entries by host and credential, in the order of their last use."""

    def __init__(self, max_sessions: int) -> None:
        self.max_sessions = max_sessions
        self._entries: OrderedDict[Key, Entry[Session]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key) -> Entry[Session] | None:
        return self._entries.get(key)

    def put(self, key: Key, entry: Entry[Session]) -> Entry[Session]:
        self._entries[key] = entry
        return entry

    def touch(self, key: Key, entry: Entry[Session]) -> None:
        entry.used_at = time.monotonic()
        if self._entries.get(key) is entry:
            self._entries.move_to_end(key)

    def remove(self, key: Key, entry: Entry[Session]) -> bool:
        """False where another one stands there by now, or none."""
        if self._entries.get(key) is not entry:
            return False
        del self._entries[key]
        return True

    def take_idle(self, idle_seconds: float) -> Iterator[Session]:
        """Sessions nobody used for so long, taken out."""
        limit = time.monotonic() - idle_seconds
        for key, entry in list(self._entries.items()):
            if entry.used_at < limit and not entry.lock.locked():
                del self._entries[key]
                yield entry.session

    def take_surplus(self) -> Iterator[Session]:
        """Those least recently used, as many as there are too many, taken out."""
        while len(self._entries) > self.max_sessions:
            key = next((key for key, entry in self._entries.items() if not entry.lock.locked()), None)
            if key is None:
                return
            yield self._entries.pop(key).session

    def take_all(self) -> Iterator[Session]:
        while self._entries:
            yield self._entries.popitem()[1].session


def key_of(task: Task) -> Key:
    """A changed password, or a changed option, is another session."""
    secret = hashlib.sha256(orjson.dumps(dict(task.credentials), option=orjson.OPT_SORT_KEYS)).digest()
    return task.target, task.port, secret


class Recent(Generic[Value]):
    """Values by key, the least recently written dropped when there are too many."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()

    def swap(self, key: Hashable, value: Value) -> Value | None:
        """Writes the value and returns the one before."""
        before = self._values.pop(key, None)
        self._values[key] = value
        if len(self._values) > self._size:
            self._values.popitem(last=False)
        return before

    def get(self, key: Hashable) -> Value | None:
        return self._values.get(key)

    def drop(self, key: Hashable) -> None:
        self._values.pop(key, None)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._values
