"""Plugins are found by their manifests; a broken one is reported and harms no other."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks

from devices.plugins import registry
from plugins.registry import load

GOOD = {"id": "good", "default_port": 1, "executable": "run", "credential_schema": {}, "modes": ["batch"]}


def write(folder: Path, manifest: Any, *, executable: bool = True) -> None:
    folder.mkdir()
    (folder / "manifest.json").write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))
    (folder / "run").write_text("#!/bin/sh\n")
    if executable:
        (folder / "run").chmod(0o755)


def test_our_own_plugins_load() -> None:
    found = registry()
    assert found.problems == []
    assert set(found.plugins) == {"icmp", "snmp", "ssh", "winrm"}


def test_a_folder_dropped_in_is_all_that_it_takes(tmp_path: Path) -> None:
    write(tmp_path / "good", GOOD)
    assert "good" in load(tmp_path).plugins


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"executable": "missing"}, "does not exist"),
        ({"executable": "../run"}, "in the plugin's folder"),
        ({"id": "no spaces allowed"}, "'id'"),
        ({"id": "icmp"}, "has the id 'icmp' already"),
        ({"default_port": 0}, "'default_port'"),
        ({"modes": ["stream"]}, "'modes'"),
        ({"credential_schema": {"type": "nonsense"}}, "not a valid JSON Schema"),
    ],
)
def test_a_broken_one_is_reported_and_the_others_work(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    write(tmp_path / "bad", {**GOOD, "id": "bad", **change})
    write(tmp_path / "good", GOOD)
    found = load(tmp_path)
    assert set(found.plugins) == {"icmp", "good"}
    assert [words in problem.reason for problem in found.problems] == [True]


def test_one_that_is_not_executable_says_how_to_mend_it(tmp_path: Path) -> None:
    write(tmp_path / "bad", GOOD, executable=False)
    assert "chmod +x" in load(tmp_path).problems[0].reason


def test_a_manifest_that_is_no_json(tmp_path: Path) -> None:
    write(tmp_path / "bad", "{")
    assert "cannot be read" in load(tmp_path).problems[0].reason


def test_a_broken_plugin_is_a_warning_of_the_system_check(tmp_path: Path, settings: Any) -> None:
    write(tmp_path / "bad", {**GOOD, "executable": "missing"})
    settings.NMS_PLUGINS_DIR = tmp_path
    assert "devices.W001" in [message.id for message in run_checks()]


def test_credential_errors_never_quote_values(tmp_path: Path) -> None:
    plugin = registry().plugins["winrm"]
    errors = plugin.credential_errors({"username": "hunter2" * 100, "password": 5, "transport": "hunter3"})
    assert len(errors) == 3
    assert not any("hunter" in error for error in errors)
