"""What the cases find, and the list of them for people."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic


class Deviation(Exception):
    """The plugin does not keep the protocol; the message says what it did, and the remedy."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`problem` is empty where all is well."""

    case: str
    problem: str
    seconds: float

    def __str__(self) -> str:
        mark = "FAIL" if self.problem else "ok  "
        line = f"{mark} {self.case} ({self.seconds:.1f} s)"
        return f"{line}\n       {self.problem}" if self.problem else line


Case = tuple[str, Callable[[], None]]


def findings_of(cases: Sequence[Case], only: str) -> Iterator[Finding]:
    """Runs each case whose name begins with `only`; one that fails keeps none of the others from being
    run.
    """
    for name, check in cases:
        if not name.startswith(only):
            continue
        started = monotonic()
        try:
            check()
        except Deviation as deviation:
            yield Finding(name, str(deviation), monotonic() - started)
        except Exception as error:  # noqa: BLE001 (a stranger's plugin answers whatever it likes)
            problem = f"its answers cannot be made sense of: {type(error).__name__}: {error}"
            yield Finding(name, problem, monotonic() - started)
        else:
            yield Finding(name, "", monotonic() - started)


def expect(is_kept: bool, problem: str) -> None:
    if not is_kept:
        raise Deviation(problem)
