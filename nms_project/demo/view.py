"""The demo's terminal view: progress of discovery, then a table of hosts. Lines of text where there is no
terminal.
"""

from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from nms_project.demo.fleet import DYING, FAULTY
from nms_project.demo.summary import Ledger

STYLES = {"ok": "green", "": "dim"}


class View:
    def __init__(self, console: Console) -> None:
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=False)
        self._last_line = ""

    def __enter__(self) -> "View":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def show_progress(self, runs: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """`runs`: (name, discovery run as the API shows it)"""
        if not self.console.is_terminal:
            self._line(", ".join(f"{name} {run['done']}/{run['total']}" for name, run in runs))
            return
        progress = Progress(TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn())
        for name, run in runs:
            progress.add_task(f"discovery: {name}", total=run["total"], completed=run["done"])
        self.live.update(progress, refresh=True)

    def show_hosts(
        self,
        devices: Sequence[dict[str, Any]],
        ledgers: dict[int, Ledger],
        values: dict[int, dict[str, float]],
        footer: Sequence[str],
    ) -> None:
        if not self.console.is_terminal:
            verdicts = sum(ledger.verdicts for ledger in ledgers.values())
            active = sum(device["status"] == "active" for device in devices)
            down = sum(device["status"] == "inactive" for device in devices)
            self._line(f"{active} of {len(devices)} devices active, {down} down, {verdicts} verdicts")
            return
        table = _host_table(devices, ledgers, values, rows=max(10, self.console.height - len(footer) - 6))
        self.live.update(Group(table, *footer), refresh=True)

    def _line(self, text: str) -> None:
        if text != self._last_line:
            self.console.print(text, highlight=False)
            self._last_line = text


def _host_table(
    devices: Sequence[dict[str, Any]],
    ledgers: dict[int, Ledger],
    values: dict[int, dict[str, float]],
    rows: int,
) -> Table:
    """Hosts in trouble first, and as many rows as the terminal has."""
    table = Table(box=None, pad_edge=False)
    for heading in ("host", "address", "state", "RTT ms", "CPU %", "memory GiB", "last verdict", "polls"):
        table.add_column(
            heading, justify="right" if heading in ("RTT ms", "CPU %", "memory GiB", "polls") else "left"
        )
    ordered = sorted(devices, key=_trouble_first)
    for device in ordered[:rows]:
        ledger, found = ledgers.get(device["id"]), values.get(device["id"], {})
        verdict = device["last_verdict"]
        style = STYLES.get(verdict, "red")
        table.add_row(
            device["hostname"],
            device["ip_address"],
            device["status"],
            _number(ledger.rtt_ms if ledger else None, 1, 2),
            _number(found.get("cpu.total"), 1, 1),
            _number(found.get("memory.used"), 2**30, 1),
            f"[{style}]{verdict or '–'}[/]",
            str(ledger.verdicts if ledger else 0),
        )
    if len(ordered) > rows:
        table.add_row(f"… {len(ordered) - rows} more")
    return table


def _trouble_first(device: dict[str, Any]) -> tuple[bool, bool, int]:
    in_trouble = device["ip_address"] in (*FAULTY, *DYING)
    return device["last_verdict"] == "ok", not in_trouble, device["id"]


def _number(value: float | None, unit: float, digits: int) -> str:
    return "–" if value is None else f"{value / unit:.{digits}f}"
