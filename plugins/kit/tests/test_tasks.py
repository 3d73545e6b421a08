"""Tasks from JSON, and results that can always be written."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.contract import Operation
from plugins.kit.tasks import (
    InvalidBatch,
    InvalidTask,
    answer,
    choice_of,
    encode,
    needed_text_of,
    parse_batch,
    parse_task,
    refused,
)

GOOD: dict[str, Any] = {"request_id": "1", "target": "a", "port": 1, "credentials": {"key": "k"}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def test_a_good_task_and_what_is_filled_in() -> None:
    task = parse_task({**GOOD, "unknown": 1}, Operation.POLL)
    assert (task.timeout_seconds, task.operation, task.device_id) == (20.0, Operation.POLL, None)


def test_credentials_as_a_string_and_an_operation_by_the_task() -> None:
    task = parse_task({**GOOD, "credentials": '{"key": "k"}', "operation": "discovery"}, Operation.POLL)
    assert task.credentials == {"key": "k"}
    assert task.operation is Operation.DISCOVERY


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"request_id": 5}, "request_id"),
        ({"target": None}, "target"),
        ({"port": "80"}, "port"),
        ({"port": True}, "port"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": "5"}, "timeout_seconds"),
        ({"operation": "reboot"}, "operation"),
        ({"credentials": "{"}, "credentials"),
        ({"credentials": []}, "credentials"),
        ({"credentials": None}, "credentials"),
    ],
)
def test_a_task_that_cannot_be_worked_on_names_the_field(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidTask, match=words):
        parse_task({**GOOD, **change}, Operation.POLL)


@given(JSON)
def test_whatever_comes_instead_of_a_task_is_answered(item: Any) -> None:
    try:
        result = answer(parse_task(item, Operation.POLL), {"success": True})
    except InvalidTask as error:
        result = refused(item, error)
    assert orjson.loads(encode(result))["success"] in (True, False)


@pytest.mark.parametrize("raw", [b"", b" \n", b"[]", b"\xef\xbb\xbf[]", b"\xef\xbb\xbf"])
def test_nothing_is_no_task(raw: bytes) -> None:
    assert parse_batch(raw) == []


@pytest.mark.parametrize("raw", [b"{", b"{}", b"5", b"nonsense"])
def test_what_is_no_array_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidBatch):
        parse_batch(raw)


def test_a_document_that_json_cannot_hold_becomes_a_failure() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    result = answer(parse_task(GOOD, Operation.POLL), {"success": True, "data": {"deep": deep}})
    assert orjson.loads(encode(result)) | {"error": ""} == {
        "request_id": "1",
        "device_id": None,
        "target": "a",
        "port": 1,
        "success": False,
        "error_code": "script",
        "error": "",
    }


def test_texts_of_credentials() -> None:
    assert choice_of({}, "way", ("a", "b"), "b") == "b"
    for wrong in ({"way": "c"}, {"way": 5}):
        with pytest.raises(InvalidTask, match="way"):
            choice_of(wrong, "way", ("a", "b"), "b")
    with pytest.raises(InvalidTask, match="key is needed"):
        needed_text_of({"key": ""}, "key")
