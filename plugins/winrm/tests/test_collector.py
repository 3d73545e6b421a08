"""Which class of Windows a poll by CIM asks."""

from typing import Any

import pytest
from winrm.exceptions import WSManFaultError

from plugins.winrm.collector import _rows
from plugins.winrm.queries import DISKS, PROCESSORS

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
