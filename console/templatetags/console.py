"""Figures in words for the pages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template

register = template.Library()
STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@register.filter
def percent(value: float | None) -> str:
    """Never rounded up to 100 %: one failure of a million is one."""
    if value is None:
        return "–"
    shown = f"{value:.2f}"
    if shown == "100.00":
        shown = "100" if value == 100 else "99.99"
    return f"{shown} %"


@register.filter
def duration(seconds: float) -> str:
    """With the two largest units: `3 d 4 h`."""
    left, parts = int(seconds), list[str]()
    for size, unit in STEPS:
        if left >= size or parts:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or f"{left} s"


@register.filter
def age(moment: datetime, now: datetime) -> str:
    return duration(max(0.0, (now - moment).total_seconds()))


@register.filter
def words(name: str) -> str:
    return name.replace("_", " ")


@register.filter
def unlocalized(value: float) -> str:
    """For an attribute: a point, whatever the language."""
    return f"{value:.2f}"


@register.filter
def lowest(rows: Sequence[Any]) -> str:
    known = [row for row in rows if row.percent is not None]
    if not known:
        return "nothing was due"
    low = min(known, key=lambda row: row.percent)
    return f"lowest {percent(low.percent)} at {low.start:%H:%M}, latest {percent(known[-1].percent)}"
