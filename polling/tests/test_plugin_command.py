"""`manage.py plugin list` and `plugin run`: one poll from a terminal, with exit codes for scripts."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from devices.models import CredentialProfile

pytestmark = pytest.mark.django_db

ANSWERS = """#!/usr/bin/env python3
import json, sys
(task,) = json.load(sys.stdin)
result = {"request_id": task["request_id"], "duration_ms": 12.5, "success": task["target"] != "bad.example"}
if not result["success"]:
    result |= {"error_code": "auth", "error": "the host refused the login"}
elif "-discovery" in sys.argv:
    result |= {"hostname": "found-" + task["credentials"]["password"]}
else:
    data = {"cpu": {"total": 12.5}, "memory": {"total": 2**33}, "network": {"total": {"rx": 2048}}}
    result |= {"hostname": "a", "data": {**data, "system": {"uptime_seconds": 5, "port": task["port"]}}}
print(json.dumps([result]))
"""
SCHEMA = {
    "type": "object",
    "required": ["password"],
    "properties": {"password": {"type": "string", "writeOnly": True}},
}

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, settings: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> Run:
    folder = tmp_path / "plugins" / "winrm"
    folder.mkdir(parents=True)
    manifest = {"id": "winrm", "default_port": 7, "executable": "run", "credential_schema": SCHEMA}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "run").write_text(ANSWERS)
    (folder / "run").chmod(0o755)
    (folder.parent / "broken").mkdir()
    (folder.parent / "broken" / "manifest.json").write_text("{")
    settings.NMS_PLUGINS_DIR = folder.parent

    def call(*arguments: str, stdin: str = '{"password": "x"}') -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = 0
        try:
            call_command("plugin", *arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, capsys.readouterr().out

    return call


def test_lists_plugins_and_what_is_wrong_with_others(run: Run) -> None:
    code, shown = run("list")
    assert code == 0
    assert "winrm" in shown
    assert "broken: manifest.json cannot be read" in shown.replace("\n", "")


def test_one_poll_in_words_with_units(run: Run) -> None:
    code, shown = run("run", "winrm", "--target", "good.example")
    assert code == 0
    assert "good.example: a in 12 ms" in shown
    for line in ("12.5 %", "8.0 GiB", "2.0 KiB/s", "5 s", "7"):
        assert line in shown


def test_one_poll_as_json(run: Run) -> None:
    code, shown = run("run", "winrm", "--target", "good.example", "--port", "9", "--json")
    assert (code, json.loads(shown)["data"]["system"]["port"]) == (0, 9)


def test_a_failure_is_exit_code_1_with_its_reason(run: Run) -> None:
    code, shown = run("run", "winrm", "--target", "bad.example")
    assert code == 1
    assert "bad.example: auth in 12 ms: the host refused the login" in shown


@pytest.mark.parametrize("by", ["name", "id"])
def test_credentials_from_a_profile(run: Run, winrm_credential: CredentialProfile, by: str) -> None:
    name = winrm_credential.name if by == "name" else str(winrm_credential.pk)
    code, shown = run("run", "winrm", "--target", "good.example", "--profile", name, "--discovery", stdin="")
    assert code == 0
    assert (
        "found-s3cret-of-winrm" in shown
    )  # this plugin tells it on purpose: the profile's secret reached it


@pytest.mark.parametrize(
    ("arguments", "stdin", "words"),
    [
        (["run", "telnet", "--target", "a"], "", "no plugin 'telnet'"),
        (["run", "icmp", "--target", "a"], "", "no plugin 'icmp'"),
        (["run", "winrm", "--target", "a"], "nonsense", "stdin must hold the credentials"),
        (["run", "winrm", "--target", "a"], "{}", "missing password"),
        (["run", "winrm", "--target", "a", "--profile", "none"], "", "no winrm credential 'none'"),
    ],
)
def test_a_question_that_makes_no_sense_is_exit_code_2(
    run: Run, arguments: list[str], stdin: str, words: str
) -> None:
    with pytest.raises(CommandError, match=words) as raised:
        run(*arguments, stdin=stdin)
    assert raised.value.returncode == 2
