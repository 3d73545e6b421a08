"""Child processes that lead their process group."""

import os
import subprocess


def has_exited(process: "subprocess.Popen[bytes]") -> bool:
    """Return whether a child has ended, without reaping it.

    Its id, which is its group's too, stays taken until the group is killed.
    """
    try:
        return (
            process.returncode is not None
            or os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        )
    except ChildProcessError:  # another thread has reaped it, and is about to note its exit code
        return True
