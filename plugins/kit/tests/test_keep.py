"""Which sessions are kept, and in what order they go."""

from typing import Any

from plugins.contract import Task
from plugins.kit.keep import Entry, Keep, Recent, key_of


class Lock:
    def __init__(self, *, is_held: bool = False) -> None:
        self.is_held = is_held

    def locked(self) -> bool:
        return self.is_held


def task(target: str = "a", **credentials: Any) -> Task:
    return Task("1", target, 1, credentials, 5)


def keep_of(*names: str, size: int = 2) -> Keep[str]:
    keep: Keep[str] = Keep(size)
    for name in names:
        keep.put(key_of(task(name)), Entry(name, Lock()))
    return keep


def test_another_password_or_option_is_another_session() -> None:
    assert key_of(task(password="a")) == key_of(task(password="a"))
    assert len({key_of(task(password="a")), key_of(task(password="b")), key_of(task(password="a", x=1))}) == 3


def test_the_least_recently_used_go_first() -> None:
    keep = keep_of("a", "b", "c")
    key = key_of(task("a"))
    entry = keep.get(key)
    assert entry
    keep.touch(key, entry)
    assert list(keep.take_surplus()) == ["b"]
    assert len(keep) == 2


def test_one_in_use_is_not_taken() -> None:
    keep: Keep[str] = Keep(0)
    keep.put(key_of(task("a")), Entry("a", Lock(is_held=True), used_at=0))
    assert list(keep.take_surplus()) == []
    assert list(keep.take_idle(1)) == []
    assert list(keep.take_all()) == ["a"]


def test_idle_ones_are_taken() -> None:
    keep = keep_of("a", "b")
    entry = keep.get(key_of(task("a")))
    assert entry
    entry.used_at = 0
    assert list(keep.take_idle(10)) == ["a"]


def test_an_entry_that_was_replaced_is_not_removed() -> None:
    keep = keep_of("a")
    key = key_of(task("a"))
    old = keep.get(key)
    assert old
    keep.put(key, Entry("new", Lock()))
    assert not keep.remove(key, old)
    assert keep.get(key)


def test_recent_forgets_what_was_written_longest_ago() -> None:
    recent: Recent[int] = Recent(2)
    a, b, c = (key_of(task(name)) for name in "abc")
    recent.swap(a, 1)
    recent.swap(b, 2)
    assert recent.swap(a, 3) == 1
    recent.swap(c, 4)
    assert (a in recent, b in recent, recent.get(c)) == (True, False, 4)
