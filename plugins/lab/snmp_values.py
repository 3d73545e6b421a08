"""The program that a test's agent asks for values: pass_persist of snmpd.conf(5). It imports nothing of ours,
since the agent starts it on its own.
"""

import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

Row = tuple[tuple[int, ...], str, str]


def serve(path: Path, root: str) -> None:
    """PING, or get or getnext and an OID on the next line; the OID, its type and its value in return."""
    for line in sys.stdin:
        word = line.strip()
        if word == "PING":
            answer = ["PONG"]
        elif word in ("get", "getnext"):
            answer = find(read(path, root), numbers(sys.stdin.readline()), is_next=word == "getnext")
        else:
            answer = ["NONE"]
        sys.stdout.write("\n".join(answer) + "\n")
        sys.stdout.flush()


def read(path: Path, root: str) -> list[Row]:
    return rows_of(path, root, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def rows_of(path: Path, root: str, changed_at: int) -> list[Row]:
    rows = []
    for line in path.read_text().splitlines():
        oid, kind, value = line.split(" ", 2)
        if f".{oid.lstrip('.')}.".startswith(f"{root}."):
            rows.append((numbers(oid), kind, value))
    return sorted(rows)


def find(rows: Sequence[Row], oid: tuple[int, ...], *, is_next: bool) -> list[str]:
    for found, kind, value in rows:
        if (found > oid) if is_next else (found == oid):
            return ["." + ".".join(map(str, found)), kind, value]
    return ["NONE"]


def numbers(oid: str) -> tuple[int, ...]:
    return tuple(int(part) for part in oid.strip().split(".") if part)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2])
