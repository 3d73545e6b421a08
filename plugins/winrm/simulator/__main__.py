"""`python -m plugins.winrm.simulator`: serves a fleet until EOF on stdin, SIGINT or SIGTERM.

stdin: one JSON line with the fields of FleetConfig. stdout: one JSON line when the hosts listen:
{"control_port": …, "hosts": …, "certificate": PEM or ""}.
"""

import asyncio
import json
import signal
import sys

from plugins.winrm.simulator.config import FleetConfig
from plugins.winrm.simulator.fleet import Fleet, remove_user_file


async def serve(config: FleetConfig) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    fleet = Fleet(config)
    await fleet.start()
    loop.run_in_executor(None, _await_eof, loop, stop)
    certificate = fleet.certificate.pem if fleet.certificate else ""
    started = {"control_port": fleet.control_port, "hosts": len(fleet.hosts), "certificate": certificate}
    sys.stdout.write(json.dumps(started) + "\n")
    sys.stdout.flush()
    await stop.wait()


def _await_eof(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Whoever started us is gone when our stdin closes."""
    while sys.stdin.buffer.read(1):
        pass
    loop.call_soon_threadsafe(stop.set)


def main() -> int:
    try:
        config = FleetConfig.from_json(json.loads(sys.stdin.buffer.readline()))
        asyncio.run(serve(config))
    except (ValueError, TypeError, OSError) as error:
        sys.stderr.write(f"simulator: {error}\n")
        return 2
    finally:
        remove_user_file()
    return 0


if __name__ == "__main__":
    # A thread still waits on stdin; nothing is left to be written.
    code = main()
    sys.stderr.flush()
    import os

    os._exit(code)
