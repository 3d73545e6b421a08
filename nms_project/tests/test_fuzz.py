"""Requests made up by schemathesis from the OpenAPI description, sent to the running server with the token of
each role: no 5xx, no undocumented status, no answer that differs from its schema, and all its other checks.

What a refusal or an acceptance beyond the schema may be stands in fuzz/hooks.py.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nms_project.stack.live import LiveStack, live_stack, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HERE = Path(__file__).parent / "fuzz"
UNLIMITED = {f"NMS_{kind}_PER_MINUTE": "1000000" for kind in ("READS", "WRITES", "QUERIES")}
CASES_OF_A_RUN = 5_000


@pytest.fixture(scope="module")
def stack() -> Iterator[LiveStack]:
    """With devices that are polled, a finished discovery run, and so on: something to answer with."""
    with live_stack(**UNLIMITED) as running:
        running.run("web", "beat", "worker control ping discovery store poll.0 poll.1")
        client = running.client
        credential = {"name": "ping", "protocol": "icmp", "payload": {}}
        running.add_devices(credential, [f"127.61.0.{last}" for last in range(1, 9)])
        profile = {"name": "net", "target": "127.61.1.1-2", "credential_profile_id": 1}
        client.post("discovery_profiles", profile)
        client.post("discovery_profiles/1/run", {})
        wait_until(lambda: running.count("SELECT count(*) FROM polling_verdict") >= 8, 60)
        wait_until(lambda: client.get("discovery_runs/1")["status"] == "done", 60)
        yield running


def fuzz(stack: LiveStack, token: str, report: Path, *options: str) -> int:
    """The number of cases checked; fails with what schemathesis found."""
    command = [
        *(
            str(Path(sys.executable).with_name("schemathesis")),
            "--config-file",
            str(HERE / "schemathesis.toml"),
        ),
        *("run", f"{stack.client.base_url}/api/v1/schema", "-H", f"Authorization: Bearer {token}"),
        *("--checks", "all", "--workers", "1", "--no-color", "--report-json-path", str(report), *options),
    ]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, cwd=report.parent, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["complete"]
    assert found["operations"]["tested"] == found["operations"]["selected"] > 0
    cases = found["test_cases"]
    # The checks send requests too, such as one without a token, that are no cases to check.
    return int(cases["generated"] - cases["without_checks"])


def test_no_request_breaks_the_contract(stack: LiveStack, tmp_path: Path) -> None:
    # What covers each rule of the schema, and its examples, are the same for all who may: an administrator's
    # are enough.
    phases = {
        "viewer": "fuzzing",
        "operator": "fuzzing,stateful",
        "admin": "examples,coverage,fuzzing,stateful",
    }
    cases = {}
    for scope, asked in phases.items():
        token = stack.client.post("auth/tokens", {"name": scope, "scope": scope})["token"]
        cases[scope] = fuzz(stack, token, tmp_path / f"{scope}.json", "--phases", asked)
    login = str(stack.client.session.headers["Authorization"]).removeprefix("Bearer ")
    cases["login"] = fuzz(stack, login, tmp_path / "login.json", "--include-path-regex", "auth/tokens")
    assert sum(cases.values()) >= CASES_OF_A_RUN, cases
    assert "Traceback" not in stack.log("web")
