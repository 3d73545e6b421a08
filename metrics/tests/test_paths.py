"""Paths: whatever is asked for is segments or a clear refusal."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.paths import MAX_PATH_CHARACTERS, document_leaves, path_parse, path_text

KEYS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=20)


@given(st.text(alphabet=st.sampled_from("ab.\\0\x00é "), max_size=40) | st.text(max_size=200))
def test_any_text_is_segments_or_refused(text: str) -> None:
    with suppress(ValueError):
        segments = path_parse(text)
        assert all(segments)
        assert path_parse(path_text(segments)) == segments


@given(st.lists(KEYS, min_size=1, max_size=5))
def test_what_is_written_is_read_back(keys: list[str]) -> None:
    written = path_text(keys)
    if len(written) <= MAX_PATH_CHARACTERS:
        assert path_parse(written) == keys


def test_paths_that_are_listed_can_be_asked_for() -> None:
    long = "x" * (MAX_PATH_CHARACTERS - 2)
    document = {"a": {"b.c": 1, "tab\tk": 2, long: 3, f"{long}y": 4, "": 5}, "big": 1e308, "list": [6, True]}
    leaves = dict(document_leaves(document))
    assert leaves == {"a.b\\.c": 1, f"a.{long}": 3, "list.0": 6}
    assert all(path_parse(path) for path in leaves)


def test_control_characters_are_named() -> None:
    with pytest.raises(ValueError, match="control characters"):
        path_parse("tab\tk")
