"""Signals that end a command in peace: each becomes KeyboardInterrupt, so that every `finally` runs; and the
one that a process gets when its parent has ended.
"""

import os
import shutil
import signal
import threading
from types import FrameType


def end_on_signals() -> None:
    """SIGTERM, and SIGHUP of a closed terminal, end the command as Ctrl-C does."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def end_on_eof() -> None:
    """Ends the command when stdin closes: whoever started it is gone."""

    def watch() -> None:
        # Not through sys.stdin, whose lock would be held when the interpreter ends.
        while os.read(0, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="stdin-watch", daemon=True).start()


def ending_with_parent(name: str) -> list[str]:
    """Return what to put before a command that gets the signal when its parent ends: setpriv(1).

    The parent is the thread that starts it, so that must be one that lives as long as its process. Without
    setpriv the list is empty.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", name, "--"] if setpriv else []
