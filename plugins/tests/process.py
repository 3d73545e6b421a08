"""Runs a plugin in batch mode as the host does, for the plugins' tests."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plugins.registry import Plugin, load
from polling.runner import environment

PLUGINS = load(Path(__file__).resolve().parents[1]).plugins


def batch(
    plugin: Plugin, tasks: Sequence[Any], *arguments: str, secrets: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """Results by request id; none of the secrets may stand in what the plugin says."""
    assert plugin.executable
    done = subprocess.run(
        [str(plugin.executable), *arguments],
        input=json.dumps(tasks).encode(),
        capture_output=True,
        timeout=60,
        check=True,
        env=environment(),
    )
    for secret in secrets:
        assert secret.encode() not in done.stdout + done.stderr
    return {result["request_id"]: result for result in json.loads(done.stdout)}


def without_network() -> list[str]:
    """Return the prefix of a command that runs in a new network namespace without any route."""
    # Containers often refuse a new user namespace, which root does not need.
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]


def worker_number() -> int:
    """Each parallel test process has addresses of its own."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
