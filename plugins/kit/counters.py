"""Counters that only grow, as rates: what came to pass between two readings. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment. `seconds` is the source's own clock, whose zero does not matter."""

    seconds: float
    values: Mapping[str, int]


def rate(before: int, now: int, elapsed_seconds: float, *, limit: float | None = None) -> float | None:
    """Return units a second, or None where the counter was reset.

    A counter that fell has been reset, unless it is one of 32 bits that has wrapped (RFC 2578, section
    7.1.6). `limit` is how many units a second a counter of 32 bits can count at most: a wrap beyond that was
    a reset. It is None for a counter that does not wrap, or whose limit is unknown.
    """
    moved = now - before
    if moved < 0:
        moved += 2**32
        if limit is None or max(before, now) >= 2**32 or moved / elapsed_seconds > limit:
            return None
    return moved / elapsed_seconds


def rates(
    before: Reading | None, now: Reading, *, limits: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Return units a second for each counter that both readings have; empty where no time has passed.

    `limits` are those of `rate`, by name.
    """
    if before is None or now.seconds <= before.seconds:
        return {}
    elapsed = now.seconds - before.seconds
    limits = limits or {}
    found = {
        name: rate(before.values[name], value, elapsed, limit=limits.get(name))
        for name, value in now.values.items()
        if name in before.values
    }
    return {name: value for name, value in found.items() if value is not None}


def percent(part: float, whole: float) -> float:
    """0 to 100 with one digit: readings of two counters are never taken at quite the same moment."""
    return round(min(100.0, max(0.0, 100.0 * part / whole)), 1) if whole > 0 else 0.0
