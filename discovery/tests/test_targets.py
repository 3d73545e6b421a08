"""Expansion of targets: what is accepted, what it covers, and what is refused with which words."""

import tracemalloc
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidTarget
from discovery.targets import target_check, target_parse


def expand(text: str) -> list[str]:
    target = target_parse(text)
    return list(target.addresses(0, target.total))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", ["10.0.0.1"]),
        ("10.0.0.0/32", ["10.0.0.0"]),
        ("10.0.0.0/31", ["10.0.0.0", "10.0.0.1"]),
        ("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.5-7", ["10.0.0.5", "10.0.0.6", "10.0.0.7"]),
        ("10.0.0.255-10.0.1.1", ["10.0.0.255", "10.0.1.0", "10.0.1.1"]),
        ("10.0.0.1, 10.0.0.1\n10.0.0.2", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.1-4, !10.0.0.2-3", ["10.0.0.1", "10.0.0.4"]),
        ("fe80::1", ["fe80::1"]),
        ("2001:db8::/127", ["2001:db8::", "2001:db8::1"]),
        ("2001:db8::/126", ["2001:db8::1", "2001:db8::2", "2001:db8::3"]),
        ("2001:db8::1-2001:db8::3", ["2001:db8::1", "2001:db8::2", "2001:db8::3"]),
        (" 10.0.0.9 ,", ["10.0.0.9"]),
        ("::ffff:10.0.0.1, 10.0.0.1, ::ffff:10.0.0.2, !10.0.0.2", ["10.0.0.1"]),
        ("10.0.0.1-4, !::ffff:10.0.0.2-::ffff:10.0.0.3", ["10.0.0.1", "10.0.0.4"]),
        ("::ffff:10.0.0.0/126", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.1-3, !::ffff:10.0.0.2/127", ["10.0.0.1"]),
        ("223.255.255.254-240.0.0.0, !224.0.0.0/4", ["223.255.255.254", "223.255.255.255", "240.0.0.0"]),
    ],
)
def test_covers(text: str, expected: list[str]) -> None:
    assert expand(text) == expected


def test_a_24_has_254_hosts() -> None:
    assert target_parse("192.168.7.0/24").total == 254


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Names no address"),
        ("!10.0.0.1", "Names no address"),
        ("10.0.0.1, !10.0.0.0/24", "Every address of it is excluded"),
        ("10.0.0.9-2", "runs backwards"),
        ("10.0.1.1-10.0.0.1", "runs backwards"),
        ("10.0.0.1-256", "ends above 255"),
        ("server.example.org", "is not an address. Accepted are"),
        ("10.0.0.0/33", "is not a network"),
        ("10.0.0", "is not an address"),
        ("010.0.0.1", "is not an address"),
        ("10.0.0.1-::1", "mixes IPv4 and IPv6"),
        ("fe80::1%eth0", "has a zone"),
        ("224.0.0.1", "no host's address"),
        ("255.255.255.255", "no host's address"),
        ("0.0.0.0", "no host's address"),
        ("::ffff:224.0.0.1", "no host's address"),
        ("223.255.255.250-240.0.0.5, !224.0.0.20-240.0.0.5", "Covers 224.0.0.0, which is no host's address"),
        ("::ffff:10.0.0.1-::1:0:0:0", "mixes IPv4 and IPv6"),
        ("ff02::1", "no host's address"),
        ("\x00", "is not an address"),
        (f"10.0.0.1-{'1' * 5_000}", "ends above 255"),
        ("1,1" * 20_000, "at most 20000 are accepted"),
        ("1," * 2_000, "at most 1000 are accepted"),
    ],
)
def test_refuses_in_words(text: str, words: str) -> None:
    with pytest.raises(InvalidTarget, match=words) as caught:
        target_check(text, 65_536)
    assert list(caught.value.fields) == ["target"]


def test_too_many_addresses_are_refused_with_their_count() -> None:
    with pytest.raises(InvalidTarget, match="16,777,214 addresses"):
        target_check("10.0.0.0/8", 65_536)


def test_a_huge_target_costs_no_memory() -> None:
    tracemalloc.start()
    target = target_parse("::/1, !2001::/16")
    first = list(target.addresses(2**100, 3))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(first) == 3
    assert peak < 200_000


@given(
    prefix=st.integers(24, 32),
    base=st.integers(int(ip_address("10.0.0.0")), int(ip_address("10.0.3.255"))),
    hole=st.integers(int(ip_address("10.0.0.0")), int(ip_address("10.0.3.255"))),
    offset=st.integers(0, 300),
    count=st.integers(0, 300),
)
def test_equals_a_plain_computation(prefix: int, base: int, hole: int, offset: int, count: int) -> None:
    network = ip_network((base, prefix), strict=False)
    plain = [str(host) for host in network.hosts() if int(host) != hole]
    text = f"{network}, !{ip_address(hole)}"
    if not plain:
        with pytest.raises(InvalidTarget):
            target_parse(text)
        return
    target = target_parse(text)
    assert target.total == len(plain)
    assert list(target.addresses(offset, count)) == plain[offset : offset + count]


@given(st.text(max_size=200))
def test_any_text_is_expanded_or_refused(text: str) -> None:
    try:
        target = target_parse(text)
    except InvalidTarget:
        return
    assert target.total > 0
