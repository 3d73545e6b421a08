"""Expansion of a discovery target into addresses, lazily and without repeats.

A target is a list of items, separated by commas or line breaks: an IPv4 or IPv6 address, a CIDR network,
`a.b.c.d-e`, or `a.b.c.d-w.x.y.z`. An item after `!` excludes what it covers. Everything is kept as ranges of
numbers, so a /8 costs as little as a single address, and the n-th address is found without walking to it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from devices.addresses import NO_HOSTS, network_parse
from discovery.errors import InvalidTarget

ACCEPTED = (
    "Accepted are an IPv4 or IPv6 address, a network (10.0.0.0/24), "
    "a range (10.0.0.1-50 or 10.0.0.1-10.0.1.20), "
    "and '!' before an item to exclude it; separate items by commas or lines."
)
MAX_CHARACTERS = 20_000
MAX_ITEMS = 1_000

MAPPED_PREFIX = 96  # ::ffff:0:0/96, IPv4 as IPv6 has it: the same hosts

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """The addresses from `first` to `last`, both included, as numbers of one IP version."""

    version: int
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def address(self, index: int) -> str:
        number = self.first + index
        return str(IPv4Address(number) if self.version == 4 else IPv6Address(number))


@dataclass(frozen=True, slots=True)
class Target:
    """Disjoint ranges in ascending order; `total` may be larger than len() could say."""

    ranges: tuple[Range, ...]

    @property
    def total(self) -> int:
        return sum(part.last - part.first + 1 for part in self.ranges)

    def common(self, other: "Target") -> int:
        """How many addresses both have."""
        count, mine, theirs = 0, iter(self.ranges), iter(other.ranges)
        one, two = next(mine, None), next(theirs, None)
        while one and two:
            if one.version == two.version:
                count += max(0, min(one.last, two.last) - max(one.first, two.first) + 1)
            if (one.version, one.last) < (two.version, two.last):
                one = next(mine, None)
            else:
                two = next(theirs, None)
        return count

    def addresses(self, offset: int, count: int) -> Iterator[str]:
        """`count` addresses from the `offset`-th on, fewer at the end."""
        for part in self.ranges:
            size = part.last - part.first + 1
            if offset >= size:
                offset -= size
                continue
            taken = min(count, size - offset)
            for index in range(offset, offset + taken):
                yield part.address(index)
            count -= taken
            offset = 0
            if count == 0:
                return


def target_parse(text: str) -> Target:
    """Raises InvalidTarget with a message for the person who wrote the target."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidTarget(f"Has {len(text)} characters; at most {MAX_CHARACTERS} are accepted.")
    items = [item.strip() for item in re.split(r"[,\n\r]", text) if item.strip()]
    if len(items) > MAX_ITEMS:
        raise InvalidTarget(f"Has {len(items)} items; at most {MAX_ITEMS} are accepted.")
    included = [_parse_item(item) for item in items if not item.startswith("!")]
    excluded = [_parse_item(item[1:].strip(), is_excluded=True) for item in items if item.startswith("!")]
    if not included:
        raise InvalidTarget(f"Names no address. {ACCEPTED}")
    target = Target(tuple(_subtract(_merge(included), _merge(excluded))))
    if target.total == 0:
        raise InvalidTarget("Every address of it is excluded again.")
    return target


def target_check(text: str, limit: int) -> Target:
    """A target that one run may expand: of not too many addresses, each of which may be a host's. Raises
    InvalidTarget.
    """
    target = target_parse(text)
    if target.total > limit:
        raise InvalidTarget(
            f"Covers {target.total:,} addresses; a run takes at most {limit:,}. Split it into profiles."
        )
    _check_unicast(target)
    return target


def _parse_item(item: str, *, is_excluded: bool = False) -> Range:
    if "/" in item:
        found = _parse_network(item, is_excluded=is_excluded)
    elif "-" in item:
        found = _parse_range(item)
    else:
        address = _parse_address(item, item)
        found = Range(address.version, int(address), int(address))
    return found


def _parse_address(text: str, item: str) -> Address:
    try:
        address = ip_address(text.strip())
    except ValueError:
        raise InvalidTarget(f"{_shown(item)} is not an address. {ACCEPTED}") from None
    if isinstance(address, IPv6Address) and address.scope_id:
        raise InvalidTarget(f"{_shown(item)} has a zone ('%…'), which means nothing on other machines.")
    return getattr(address, "ipv4_mapped", None) or address


def _parse_network(item: str, *, is_excluded: bool) -> Range:
    try:
        network = network_parse(item)
    except ValueError:
        raise InvalidTarget(f"{_shown(item)} is not a network. {ACCEPTED}") from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= MAPPED_PREFIX:
        network = ip_network((mapped, network.prefixlen - MAPPED_PREFIX))
    first, last = int(network.network_address), int(network.broadcast_address)
    if not is_excluded and last - first > 1:
        # Neither the network's own address nor IPv4's broadcast is a host. In IPv6 the first is the
        # routers' anycast address (RFC 4291, section 2.6.1) and there is no broadcast.
        first += 1
        last -= 1 if network.version == 4 else 0
    return Range(network.version, first, last)


def _parse_range(item: str) -> Range:
    left, _, right = item.partition("-")
    first = _parse_address(left, item)
    right = right.strip()
    if right.isascii() and right.isdigit() and first.version == 4:
        if len(right) > 1 and right.startswith("0"):
            raise InvalidTarget(f"{_shown(item)} ends in a number with a leading zero.")
        if len(right) > 9 or int(right) > 255:
            raise InvalidTarget(f"{_shown(item)} ends above 255.")
        right = f"{str(first).rpartition('.')[0]}.{int(right)}"
    last = _parse_address(right, item)
    if first.version != last.version:
        raise InvalidTarget(f"{_shown(item)} mixes IPv4 and IPv6.")
    if int(last) < int(first):
        raise InvalidTarget(f"{_shown(item)} runs backwards: write {last}-{first}.")
    return Range(first.version, int(first), int(last))


def _check_unicast(target: Target) -> None:
    for part in target.ranges:
        for network in NO_HOSTS:
            first = max(part.first, int(network[0]))
            if part.version == network.version and first <= min(part.last, int(network[-1])):
                address = part.address(first - part.first)
                raise InvalidTarget(f"Covers {address}, which is no host's address; exclude it with '!'.")


def _shown(item: str) -> str:
    return repr(item if len(item) <= 60 else item[:57] + "...")


def _merge(ranges: list[Range]) -> list[Range]:
    """Disjoint ranges in ascending order that cover the same addresses."""
    merged: list[Range] = []
    for part in sorted(ranges):
        top = merged[-1] if merged else None
        if top and top.version == part.version and part.first <= top.last + 1:
            merged[-1] = Range(top.version, top.first, max(top.last, part.last))
        else:
            merged.append(part)
    return merged


def _subtract(included: list[Range], excluded: list[Range]) -> Iterator[Range]:
    for part in included:
        first = part.first
        for hole in excluded:
            if hole.version != part.version or hole.last < first or hole.first > part.last:
                continue
            if hole.first > first:
                yield Range(part.version, first, hole.first - 1)
            first = hole.last + 1
        if first <= part.last:
            yield Range(part.version, first, part.last)
