"""Paths: whatever is asked for is segments or a clear refusal."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.paths import MAX_PATH_CHARACTERS, path_parse, path_text

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


def test_control_characters_are_named() -> None:
    with pytest.raises(ValueError, match="control characters"):
        path_parse("tab\tk")


@pytest.mark.parametrize("path", ["a'b", 'a"b', "a b", "a%b", "a;DROP TABLE", "ä", "$.x", "{a,b}"])
def test_other_characters_belong_to_the_key(path: str) -> None:
    assert path_text(path_parse(path)) == path
