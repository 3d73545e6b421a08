"""The demo from start to end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from django.conf import settings
from rich.console import Console

from nms_project import state
from nms_project.demo import fleet
from nms_project.demo.client import Client
from nms_project.demo.summary import Ledger, Summary, availability_check, ledger_read, summarise
from nms_project.demo.view import View
from nms_project.stack.errors import StackError
from nms_project.stack.processes import command_line
from nms_project.web_address import local_url
from plugins.winrm.simulator.client import Simulator

START_SECONDS = 90
ONCE_SECONDS = 300  # after the start of the stack; a minute on a machine of its own
STOP_SECONDS = 60  # it takes two or three; PostgreSQL may have much to write
REFRESH_SECONDS = 1.0
METRIC_PATHS = ("cpu.total", "memory.used")
DEVICES_A_QUERY = 500  # as many as one may name


class Demo:
    def __init__(
        self, *, console: Console, once: bool, username: str, password: str, host_password: str
    ) -> None:
        self.console = console
        self.once = once
        self.username = username
        self.password = password
        self.host_password = host_password
        self.state_dir: Path = settings.NMS_STATE_DIR / "demo"
        self.url = local_url()
        self.client = Client(self.url)
        self.port = settings.NMS_DEMO_WINRM_PORT
        self.death_delay_seconds = 15 if once else 60

    def play(self) -> Summary | None:
        """Until everything is as it must be (`once`), or for ever. Raises StackError when the stack does not
        start.
        """
        with ExitStack() as stack:
            simulator = self._hosts(stack)
            stack.enter_context(self._stack())
            began = datetime.now(UTC)
            self.client.login(self.username, self.password)
            self._print_addresses()
            view = stack.enter_context(View(self.console))
            self._discover(view)
            simulator.set_faults({address: trouble.fault for address, trouble in fleet.FAULTY.items()})
            return self._watch(view, simulator, began)

    def _hosts(self, stack: ExitStack) -> Simulator:
        try:
            return stack.enter_context(Simulator(fleet.fleet_config(self.host_password, self.port)))
        except RuntimeError as error:
            raise StackError(
                f"The simulated hosts cannot listen on port {self.port} of {fleet.WINDOWS_TARGET} ({error}): "
                "end what listens there, or set NMS_DEMO_WINRM_PORT to another port."
            ) from None

    def _print_addresses(self) -> None:
        self.console.print(f"admin     {self.url}/admin/", highlight=False)
        self.console.print(
            f"API       {self.url}/api/v1/   documented at {self.url}/api/v1/docs", highlight=False
        )
        self.console.print(f"login     {self.username} / {self.password}", highlight=False)

    @contextmanager
    def _stack(self) -> Iterator[None]:
        """`manage.py run` in a session of its own, its output in a file."""
        if self.client.is_up():
            raise StackError(
                f"Something answers at {self.url} already: stop it, or set PORT to another port."
            )
        self.state_dir.mkdir(parents=True, exist_ok=True)
        log_path = self.state_dir / "demo.log"
        self.console.print(
            f"starting  PostgreSQL, Redis, web, beat and workers (log: {log_path})", highlight=False
        )
        log_path.unlink(missing_ok=True)
        with state.log_open(log_path) as log:
            process = subprocess.Popen(
                [sys.executable, *command_line(), "run", "--until-eof"],
                env=self._environment(),
                stdin=subprocess.PIPE,  # it ends when we are gone, however we go
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._await_start(process, log_path)
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            with process:  # closes the pipe
                process.wait(STOP_SECONDS)

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **{name: os.environ.get(name, value) for name, value in fleet.ENVIRONMENT.items()},
            "NMS_STATE_DIR": str(self.state_dir),
            "DJANGO_SUPERUSER_USERNAME": self.username,
            "DJANGO_SUPERUSER_PASSWORD": self.password,
        }

    def _await_start(self, process: "subprocess.Popen[bytes]", log_path: Path) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self.client.is_up():
            if process.poll() is not None or time.monotonic() > deadline:
                tail = log_path.read_text(errors="replace")[-3_000:]
                raise StackError(f"The stack did not start. Its log ends with:\n{tail}")
            time.sleep(0.2)

    def _discover(self, view: View) -> None:
        """Credential, profile and run for each kind of host; hosts of an earlier demo are provisioned
        again.
        """
        windows = {"username": fleet.USERNAME, "password": self.host_password}
        runs = {
            "Windows hosts": self._start_run(
                "Windows", "winrm", windows, {"target": fleet.WINDOWS_TARGET, "port": self.port}
            ),
            "ping-only hosts": self._start_run("Ping only", "icmp", {}, {"target": fleet.PING_TARGET}),
        }
        while True:
            progress = [(name, self.client.get(f"discovery_runs/{run_id}")) for name, run_id in runs.items()]
            view.show_progress(progress)
            if all(run["status"] in ("done", "failed") for _, run in progress):
                break
            time.sleep(0.3)
        for device in self.client.every("devices"):
            if device["status"] != "active":
                self.client.post(
                    f"devices/{device['id']}/provision", {"polling_interval_seconds": fleet.INTERVAL_SECONDS}
                )

    def _start_run(
        self, name: str, protocol: str, payload: Mapping[str, str], where: Mapping[str, Any]
    ) -> int:
        """`where`: target, and port if it is not the protocol's own. Returns the run's id."""
        credential = self.client.ensure(
            "credentials", {"name": f"Demo: {name}", "protocol": protocol, "payload": dict(payload)}
        )
        profile = self.client.ensure(
            "discovery_profiles",
            {
                "name": f"Demo: {name}",
                **where,
                "credential_profile_id": credential["id"],
                "auto_provision": True,
                "polling_interval_seconds": fleet.INTERVAL_SECONDS,
            },
        )
        return int(self.client.post(f"discovery_profiles/{profile['id']}/run", {})["run_id"])

    def _watch(self, view: View, simulator: Simulator, began: datetime) -> Summary | None:
        started = time.monotonic()
        deadline = started + ONCE_SECONDS
        database_url = state.endpoints_read(self.state_dir).get("database_url", settings.DATABASE_URL)
        have_died = False
        while True:
            if not have_died and time.monotonic() - started > self.death_delay_seconds:
                simulator.set_faults({address: trouble.fault for address, trouble in fleet.DYING.items()})
                have_died = True
            devices = list(self.client.every("devices"))
            ledgers = ledger_read(database_url, began)
            summary = summarise(devices, ledgers)
            dead = [device["id"] for device in devices if device["ip_address"] in fleet.DYING]
            availability_check(
                summary,
                dead=[self.client.get(f"devices/{device_id}/availability") for device_id in dead],
                hours=self.client.get("completeness"),
            )
            self._show(view, devices, ledgers, summary)
            if self.once and (not summary.problems or time.monotonic() > deadline):
                return summary
            time.sleep(REFRESH_SECONDS)

    def _show(
        self, view: View, devices: list[dict[str, Any]], ledgers: dict[int, Ledger], summary: Summary
    ) -> None:
        ids = [device["id"] for device in devices]
        values: dict[int, dict[str, float]] = {device_id: {} for device_id in ids}
        for start, path in product(range(0, len(ids), DEVICES_A_QUERY), METRIC_PATHS):
            some = ids[start : start + DEVICES_A_QUERY]
            for series in self.client.post("metrics", {"device_ids": some, "path": path, "limit": 1}):
                for point in series["results"]:
                    values[series["device_id"]][path] = point["value"]
        footer = [
            "",
            *summary.lines,
            f"{self.url}/admin/   {self.username} / {self.password}   Ctrl-C ends it",
        ]
        view.show_hosts(devices, ledgers, values, footer)
