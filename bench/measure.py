"""CPU and memory of processes from /proc, and reports: a table for people, JSON for programs."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Figure:
    """`budget` is words, empty where there is none; `is_met` is None where it is for information."""

    what: str
    value: float
    unit: str
    budget: str = ""
    is_met: bool | None = None


@dataclass(slots=True)
class Report:
    name: str
    setting: str
    figures: list[Figure] = field(default_factory=list)

    def add(
        self,
        what: str,
        value: float,
        unit: str,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        budget, is_met = "", None
        if at_most is not None:
            budget, is_met = f"≤ {at_most:g}", value <= at_most
        elif at_least is not None:
            budget, is_met = f"≥ {at_least:g}", value >= at_least
        self.figures.append(Figure(what, round(value, 4), unit, budget, is_met))

    def publish(self, console: Console) -> None:
        table = Table(title=f"{self.name}: {self.setting}", title_justify="left", box=None, pad_edge=False)
        for heading, justify in (
            ("figure", "left"),
            ("value", "right"),
            ("unit", "left"),
            ("budget", "right"),
            ("", "left"),
        ):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]  # literals above
        for figure in self.figures:
            mark = "" if figure.is_met is None else "met" if figure.is_met else "MISSED"
            table.add_row(figure.what, f"{figure.value:,.4g}", figure.unit, figure.budget, mark)
        console.print(table)
        console.print()
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def cpu_seconds(pid: int, *, with_reaped_children: bool = True) -> float:
    """User and system time of a process, and of its children that have ended (proc(5), fields 14 to 17).

    0 for a process that has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    own = int(fields[11]) + int(fields[12])
    reaped = int(fields[13]) + int(fields[14]) if with_reaped_children else 0
    return (own + reaped) / TICKS


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")
