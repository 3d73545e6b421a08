"""Which class of Windows a poll by CIM asks."""

import gc
import weakref
from contextlib import suppress
from typing import Any, NoReturn
from xml.etree import ElementTree as ET

import pytest
from winrm.exceptions import WSManFaultError

from plugins.contract import Task
from plugins.winrm.collector import Collector, Memory, _rows, _select
from plugins.winrm.errors import ScriptError
from plugins.winrm.queries import COMPUTER, DISKS, PROCESSORS, QUERIES, SYSTEM, VOLUMES
from plugins.winrm.wsman import xml_repaired

INVALID_CLASS, ACCESS_DENIED = 2150858778, 5


def fault(code: int) -> WSManFaultError:
    return WSManFaultError(500, "", "", "", wsman_fault_code=code)


class Session:
    """Answers queries from a mapping of rows, or faults, by class."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.fallbacks: set[str] = set()
        self.asked: list[str] = []

    def select(self, wql: str) -> list[dict[str, Any]]:
        class_name = wql.split()[3]
        self.asked.append(class_name)
        answer = self.answers.get(class_name, fault(INVALID_CLASS))
        if isinstance(answer, Exception):
            raise answer
        return list(answer)


@pytest.mark.parametrize("answer", [fault(INVALID_CLASS), []])
def test_a_host_without_the_newer_class_is_asked_for_the_older_one(answer: Any) -> None:
    rows = [{"Name": "_Total"}]
    session: Any = Session({PROCESSORS.class_name: answer, PROCESSORS.fallback_class: rows})
    assert _rows(session, PROCESSORS) == rows
    assert _rows(session, PROCESSORS) == rows
    assert session.asked == [PROCESSORS.class_name, PROCESSORS.fallback_class, PROCESSORS.fallback_class]


def test_an_account_without_rights_is_not_asked_twice() -> None:
    session: Any = Session({PROCESSORS.class_name: fault(ACCESS_DENIED)})
    with pytest.raises(WSManFaultError):
        _rows(session, PROCESSORS)
    assert session.asked == [PROCESSORS.class_name]


def test_a_class_without_another_one_fails_as_it_is() -> None:
    session: Any = Session({})
    with pytest.raises(WSManFaultError):
        _rows(session, DISKS)


def test_an_optional_class_that_may_not_be_read_costs_only_what_it_holds() -> None:
    answers: dict[str, Any] = {query.class_name: [{"Name": "x"}] for query in QUERIES}
    answers |= {query.class_name: fault(ACCESS_DENIED) for query in (VOLUMES, COMPUTER)}
    session: Any = Session(answers)
    found = _select(session, QUERIES)
    assert found.by_query.keys() == {query.name for query in QUERIES} - {"volumes", "computer"}
    assert [error.partition(":")[0] for error in found.errors] == ["volumes", "computer"]


def test_an_account_that_may_not_read_the_system_fails_at_once() -> None:
    session: Any = Session({SYSTEM.class_name: fault(ACCESS_DENIED)})
    with pytest.raises(WSManFaultError):
        _select(session, [SYSTEM, DISKS])
    assert session.asked == [SYSTEM.class_name]


class Unwilling:
    """A host whose every way to be read fails."""

    def __init__(self) -> None:
        self.raised: list[weakref.ref[BaseException]] = []
        self.fallbacks: set[str] = set()

    def fail(self, *_: Any) -> NoReturn:
        raise self._noted(ScriptError("no"))  # without a variable, which would keep it alive by itself

    def _noted(self, error: ScriptError) -> ScriptError:
        self.raised.append(weakref.ref(error))
        return error

    ask = run = select = fail


def test_a_poll_that_fails_keeps_nothing_alive() -> None:
    """A reply may be large, and the garbage collector of a plugin that is busy runs rarely."""
    collector: Any = Collector.__new__(Collector)
    collector.memory = Memory()
    host: Any = Unwilling()
    gc.disable()
    try:
        with suppress(ScriptError):
            collector._collect(host, Task("1", "host", 5985, {}, 5), ("host",))
        assert len(host.raised) == 3
        assert [reference() for reference in host.raised] == [None] * 3
    finally:
        gc.enable()


def test_a_document_type_is_refused_before_its_entities_expand() -> None:
    laughs = b'<!DOCTYPE d [<!ENTITY e0 "lol"><!ENTITY e1 "&e0;&e0;">]><d>&e1;</d>'
    for reply in (laughs, laughs.decode().encode("utf-16")):
        with pytest.raises(ET.ParseError):
            ET.fromstring(xml_repaired(reply))
