"""Payloads of credentials: whatever is sent is stored as it was or refused, and never told again."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.credentials import HIDDEN, payload_encrypted_for
from devices.crypto import payload_decrypt
from devices.plugins import plugin_ids
from nms_project.errors import InvalidInput

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
LIKELY = st.fixed_dictionaries(
    {"username": SCALARS, "password": SCALARS},
    optional={"community": SCALARS, "private_key": SCALARS, "transport": SCALARS, "port": JSON},
)
SENTINEL = "p4ssw0rd-nobody-may-see"


@given(protocol=st.sampled_from([*plugin_ids(), "telnet"]), sent=JSON | LIKELY | LIKELY.map(json.dumps))
def test_any_payload_is_stored_as_it_was_or_refused(protocol: str, sent: Any) -> None:
    try:
        stored = payload_encrypted_for(None, protocol, sent)
    except InvalidInput:
        return
    assert stored is not None
    if sent not in (None, "", HIDDEN):
        assert payload_decrypt(stored) == (json.loads(sent) if isinstance(sent, str) else sent)


@pytest.mark.parametrize("protocol", plugin_ids())
@given(extra=st.dictionaries(st.text(max_size=8), JSON, max_size=2))
def test_a_refusal_never_tells_what_was_sent(protocol: str, extra: dict[str, Any]) -> None:
    refused = ""
    try:
        payload_encrypted_for(None, protocol, {**extra, "password": SENTINEL, SENTINEL[:8]: SENTINEL})
    except InvalidInput as error:
        refused = str(error.fields)
    assert SENTINEL not in refused
