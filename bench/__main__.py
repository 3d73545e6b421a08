"""`python -m bench [name …]`: runs the benchmarks on servers of their own."""

import os
import sys
from collections.abc import Callable

import django
from rich.console import Console

from bench.measure import Report
from nms_project.stack.live import live_stack
from nms_project.stack.signals import end_on_signals

NAMES = (
    "claim",
    "ping",
    "store",
    "winrm",
    "winrm-soak",
    "snmp",
    "ssh",
    "pipeline-winrm",
    "pipeline-ping",
    "api",
)
LONG = ("console", "history")  # minutes and many GB: only when asked for by name


def main(wanted: list[str]) -> int:
    unknown = set(wanted) - {*NAMES, *LONG}
    if unknown:
        sys.stderr.write(
            f"There is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join([*NAMES, *LONG])}.\n"
        )
        return 2
    end_on_signals()  # with the servers
    terminal = Console(width=120)
    with live_stack(NMS_PLUGIN_TIMEOUT_SECONDS="20") as stack:
        os.environ.update(stack.environment)
        os.environ["DJANGO_SETTINGS_MODULE"] = "nms_project.settings"
        django.setup()
        from bench import (  # they need Django's models
            api,
            claim,
            console,
            history,
            ping,
            pipeline,
            snmp,
            ssh,
            store,
            winrm,
            winrm_soak,
        )

        runs: dict[str, Callable[[], Report]] = {
            "api": lambda: api.run(stack),
            "claim": claim.run,
            "console": console.run,
            "history": history.run,
            "ping": ping.run,
            "store": store.run,
            "winrm": winrm.run,
            "winrm-soak": winrm_soak.run,
            "snmp": snmp.run,
            "ssh": ssh.run,
            "pipeline-winrm": lambda: pipeline.run_winrm(stack),
            "pipeline-ping": lambda: pipeline.run_ping(stack),
        }
        missed = 0
        for name in wanted or NAMES:
            report = runs[name]()
            report.publish(terminal)
            missed += sum(figure.is_met is False for figure in report.figures)
        terminal.print(f"{missed} figures miss their budget." if missed else "Every budget is met.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
