"""manage.py as a newcomer starts it: with a state directory and a port, and nothing else set."""

import os
import subprocess
import sys
from pathlib import Path

from nms_project.stack.live import ROOT


def start(state_dir: Path, port: int, *command: str, **settings: str) -> "subprocess.Popen[bytes]":
    """What it prints goes to run.log in the state directory."""
    hidden = ("DATABASE_URL", "REDIS_URL", "NMS_", "DJANGO_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    environment |= {"NMS_STATE_DIR": str(state_dir), "PORT": str(port), **settings}
    with (state_dir / "run.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *(command or ("run",))],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def processes_below(state_dir: Path) -> list[str]:
    """Command lines of processes that name the state directory or have it in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(state_dir).encode() in text:
            found.append((process / "cmdline").read_bytes().decode(errors="replace"))
    return found
