"""Counters that only grow, as rates: what came to pass between two readings. Pure functions."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters at one moment. `seconds` is the source's own clock, whose zero does not matter."""

    seconds: float
    values: Mapping[str, int]


def delta(before: int, now: int, *, bits: int) -> int | None:
    """How far a counter has come; None where it was reset.

    One of 32 bits that is lower than before has wrapped (RFC 2578, section 7.1.6), since the caller has ruled
    out a restart. One of 64 bits never wraps in practice: it was reset.
    """
    if now >= before:
        return now - before
    return now - before + 2**32 if bits == 32 else None


def rates(before: Reading | None, now: Reading, *, bits: int = 64) -> dict[str, float]:
    """Units a second for each counter that both readings have; none where no time has passed."""
    if before is None or now.seconds <= before.seconds:
        return {}
    elapsed = now.seconds - before.seconds
    found = {}
    for name, value in now.values.items():
        if name in before.values:
            moved = delta(before.values[name], value, bits=bits)
            if moved is not None:
                found[name] = moved / elapsed
    return found


def percent(part: float, whole: float) -> float:
    """0 to 100 with one digit: readings of two counters are never taken at quite the same moment."""
    return round(min(100.0, max(0.0, 100.0 * part / whole)), 1) if whole > 0 else 0.0
