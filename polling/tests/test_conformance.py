"""`manage.py plugin check`: our own plugins and the documented ones pass; deviations are explained."""

import json
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command

from polling.conformance import cases
from polling.conformance.cases import MANY, plugin_check

OURS = ("winrm", "snmp", "ssh")
FEWER = 400  # than plugin check's ten thousand, which are minutes of CPU
DOCS = (settings.BASE_DIR / "docs" / "plugins.md").read_text()
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def problems(folder: Path, only: str = "", many: int = MANY) -> dict[str, str]:
    findings = plugin_check(folder, only=only, many=many)
    return {finding.case: finding.problem for finding in findings if finding.problem}


def write(folder: Path, manifest: str, executable: str) -> Path:
    (folder / "sample").mkdir(parents=True)
    (folder / "manifest.json").write_text(manifest)
    (folder / "run").write_text(executable)
    (folder / "run").chmod(0o755)
    (folder / "README.md").write_text("# An example\n")
    task = {"request_id": "1", "target": "127.0.0.1", "port": 1, "timeout_seconds": 5, "credentials": {}}
    (folder / "sample" / "task.json").write_text(json.dumps([task]))
    return folder


def documented(heading: str) -> list[str]:
    """The code blocks of one example, as they stand on the page."""
    section = DOCS.split(f"\n### {heading}\n")[1].split("\n### ")[0]
    return re.findall(r"```\w+\n(.*?)```", section, re.DOTALL)


@pytest.mark.parametrize("name", OURS)
def test_our_own_plugins_keep_the_protocol(name: str) -> None:
    assert problems(settings.BASE_DIR / "plugins" / name, many=FEWER) == {}


@pytest.mark.parametrize("heading", ["In shell", "In Python"])
def test_the_documented_examples_keep_the_protocol(heading: str, tmp_path: Path) -> None:
    manifest, executable = documented(heading)
    assert problems(write(tmp_path / "example", manifest, executable), many=FEWER) == {}


# --- a plugin that does all right, and what may be wrong with it -------------------------------------

GOOD = """#!/usr/bin/env python3
import json, socket, sys, threading, time

def poll(task):
    result = {"request_id": task["request_id"], "target": task["target"], "port": task["port"]}
    result["success"] = False
    if not task["credentials"]:
        return {**result, "error_code": "internal", "error": "no credentials"}
    try:
        address = (task["target"], task["port"])
        with socket.create_connection(address, timeout=task["timeout_seconds"]) as link:
            link.recv(1)
    except ConnectionRefusedError:
        return {**result, "error_code": "refused", "error": "nothing listens"}
    except TimeoutError:
        return {**result, "error_code": "timeout", "error": "no answer"}

def stream():
    threads = []
    def work(task):
        line = json.dumps(poll(task)) + "\\n"
        with lock:
            sys.stdout.write(line)
            sys.stdout.flush()
    lock = threading.Lock()
    for line in sys.stdin.buffer:
        text = line.decode("utf-8-sig").strip()
        try:
            task = json.loads(text or "null")
        except ValueError:
            continue
        if task:
            threads.append(threading.Thread(target=work, args=(task,), daemon=True))
            threads[-1].start()
    for thread in threads:
        thread.join()

def batch():
    tasks = json.loads(sys.stdin.buffer.read().decode("utf-8-sig").strip() or "[]")
    if not isinstance(tasks, list):
        sys.exit("no array")
    for task in tasks:
        if isinstance(task["credentials"], str):
            task["credentials"] = json.loads(task["credentials"])
    print(json.dumps([poll(task) for task in tasks]))

import os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
stream() if "--stream" in sys.argv else batch()
"""
MANIFEST = {
    "id": "made",
    "version": "1",
    "default_port": 1,
    "executable": "run",
    "modes": ["batch", "stream"],
    "credential_schema": {
        "type": "object",
        "required": ["password"],
        "properties": {"password": {"type": "string", "writeOnly": True}},
    },
}

Maker = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    monkeypatch.setattr(cases, "QUICK_SECONDS", 6.0)

    def build(change: Callable[[str], str] = str, **manifest: Any) -> Path:
        folder = write(tmp_path / "made", json.dumps({**MANIFEST, **manifest}), change(GOOD))
        task = {"request_id": "1", "target": "127.0.0.1", "port": 1, "credentials": {"password": "x"}}
        (folder / "sample" / "task.json").write_text(json.dumps([task]))
        return folder

    return build


def replaced(old: str, new: str) -> Callable[[str], str]:
    def change(source: str) -> str:
        assert old in source
        return source.replace(old, new)

    return change


def test_one_that_does_all_right(make: Maker) -> None:
    assert problems(make(), many=400) == {}


@pytest.mark.parametrize(
    ("change", "case", "words"),
    [
        (replaced('or "[]")', ")"), "batch: empty stdin", "exit code 1"),
        (
            replaced('.decode("utf-8-sig").strip() or', ".decode().strip() or"),
            "batch: a byte order mark",
            "exit code",
        ),
        (replaced('sys.exit("no array")', "tasks = []"), "batch: stdin that is no array", "was taken"),
        (
            replaced('"error_code": "refused"', '"error_code": "closed"'),
            "batch: a closed port",
            "must be one of auth",
        ),
        (replaced('"error": "nothing listens"', '"error": ""'), "batch: a closed port", "in words"),
        (
            replaced('["success"] = False', '["success"] = True'),
            "batch: a closed port",
            "'success' must be false",
        ),
        (replaced('"target": task["target"], ', ""), "batch: a closed port", "'target'"),
        (
            replaced('timeout=task["timeout_seconds"]', "timeout=9"),
            "batch: a silent host",
            "did not end within",
        ),
        (
            replaced('"error_code": "timeout"', '"error_code": "protocol"'),
            "batch: a silent host",
            "is `timeout`",
        ),
        (
            replaced("for task in tasks])", "for task in tasks[:100]])"),
            "batch: 400 tasks",
            "300 tasks got no result",
        ),
        (
            replaced("print(json.dumps(", 'print("hello", json.dumps('),
            "batch: a byte order mark",
            "belong on stderr",
        ),
        (
            replaced('"error": "no answer"', '"error": task["credentials"]["password"]'),
            "batch: a silent",
            "a secret",
        ),
        (
            replaced("            continue\n", "            raise\n"),
            "stream: a byte order mark",
            "were answered",
        ),
        (replaced('if "--stream" in sys.argv', "if False"), "stream: a line for a line", "were answered"),
        (
            replaced("    for thread in threads:\n        thread.join()\n", "    os._exit(0)\n"),
            "stream: end of file",
            "0 were answered",
        ),
        (replaced("lambda *_: os._exit(0)", "lambda *_: None"), "stream: SIGTERM", "did not end within 3 s"),
        (replaced("#!/usr/bin/env python3", "#!/no/such/python"), "batch: empty stdin", "interpreter"),
    ],
)
def test_a_deviation_is_found_and_explained(
    make: Maker, change: Callable[[str], str], case: str, words: str
) -> None:
    (said,) = problems(make(change), case, many=400).values()
    assert words in said


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"default_port": 0}, "'default_port'"),
        ({"version": ""}, "'version' is missing"),
        (
            {"credential_schema": {"properties": {"password": {"type": "string"}}}},
            "looks like a secret",
        ),
        ({"credential_schema": {"required": ["user"]}}, "do not fit the manifest's schema"),
    ],
)
def test_a_manifest_that_could_be_better(make: Maker, manifest: dict[str, Any], words: str) -> None:
    assert words in " ".join(problems(make(**manifest), "files").values())


@pytest.mark.parametrize(
    ("name", "words"), [("README.md", "README.md is missing"), ("sample/task.json", "sample")]
)
def test_a_file_that_is_missing(make: Maker, name: str, words: str) -> None:
    folder = make()
    (folder / name).unlink()
    assert words in problems(folder, "files")["files and schema"]


def test_the_commands_exit_code(make: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(version="")
    with pytest.raises(SystemExit) as ended:
        call_command("plugin", "check", str(folder), "--case", "files", "--tasks", "9", stdout=StringIO())
    assert ended.value.code == 1
    assert "FAIL files and schema" in capsys.readouterr().out
