"""What travels between the stages: slots, and reports of what became of them.

A message holds ids, times and results, never a credential. Times are microseconds since the epoch, exact and
short.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from devices.schedule import from_microseconds
from polling.models import VerdictKind


class Slot(NamedTuple):
    """One poll of one device that is due; the unit of the schedule and of the ledger."""

    device_id: int
    due_us: int

    @property
    def due_at(self) -> datetime:
        return from_microseconds(self.due_us)


class PingedSlot(NamedTuple):
    """A slot whose device answered fping, or was not asked (then both figures are None)."""

    device_id: int
    due_us: int
    rtt_ms: float | None
    loss_percent: float | None

    @property
    def slot(self) -> Slot:
        return Slot(self.device_id, self.due_us)


@dataclass(frozen=True, slots=True)
class Report:
    """A verdict on its way to the ledger, with the document of a successful poll. Units are in the names."""

    device_id: int
    due_us: int
    kind: VerdictKind
    started_us: int | None = None
    duration_ms: float | None = None
    rtt_ms: float | None = None
    loss_percent: float | None = None
    attempted: bool = True
    error_code: str = ""
    error: str = ""
    sampled_us: int | None = None
    document: str | None = None  # JSON text
    is_counting: bool = False  # whether the failure counts against the device

    def to_message(self) -> list[Any]:
        return [
            self.device_id,
            self.due_us,
            self.kind.value,
            self.started_us,
            self.duration_ms,
            self.rtt_ms,
            self.loss_percent,
            self.attempted,
            self.error_code,
            self.error,
            self.sampled_us,
            self.document,
            self.is_counting,
        ]

    @classmethod
    def from_message(cls, fields: list[Any]) -> "Report":
        return cls(fields[0], fields[1], VerdictKind(fields[2]), *fields[3:])

    @property
    def key(self) -> tuple[int, int]:
        return self.device_id, self.due_us

    @property
    def due_at(self) -> datetime:
        return from_microseconds(self.due_us)
