"""The wheel: what is in it is enough to run, and the lock is what pyproject.toml asks for."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from nms_project.stack.live import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files as pip puts them into site-packages."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
        for item in archive.infolist():  # zipfile forgets modes
            if item.external_attr >> 16 & 0o100:
                (folder / item.filename).chmod(0o755)
    return folder


def run(installed: Path, where: Path, *arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "nms_project", *arguments],
        cwd=where,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_plugins_work_from_a_wheel(installed: Path, tmp_path: Path) -> None:
    listed = run(installed, tmp_path, "plugin", "list")
    for plugin in ("winrm", "snmp", "ssh"):
        assert plugin in listed
    assert (tmp_path / ".run" / "secret-key").exists()  # where it was started, not among the packages
    assert not (installed / ".run").exists()


def test_every_migration_template_and_static_file_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        scripts = archive.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "nms = nms_project.__main__:main" in scripts
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    packages = {"accounts", "console", "devices", "discovery", "health", "metrics", "nms_project", "plugins"}
    for name in listed.stdout.splitlines():
        parts = name.split("/")
        if parts[0] in {*packages, "polling"} and "tests" not in parts and len(parts) > 1:
            assert name in names
    assert not any("tests" in name.split("/") for name in names)


def test_the_processes_are_those_of_the_procfile(installed: Path, tmp_path: Path) -> None:
    script = (
        "import django; django.setup()\n"
        "from nms_project.stack.processes import process_commands\n"
        "print(*process_commands().values(), sep='\\n')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(installed),
            "PYTHONSAFEPATH": "1",
            "DJANGO_SETTINGS_MODULE": "nms_project.settings",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = ran.stdout.splitlines()
    assert lines[0] == "python -m nms_project web"
    assert "python -m nms_project worker poll.1" in lines


def test_the_lock_is_compared_with_the_project() -> None:
    ran = subprocess.run(
        [sys.executable, ".ci/lock.py"], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_lock_that_is_behind_is_refused(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "lock.py").write_text((ROOT / ".ci" / "lock.py").read_text())
    text = (tmp_path / "pyproject.toml").read_text()
    (tmp_path / "pyproject.toml").write_text(
        text.replace('"rich"', '"poor"').replace('"celery"', '"celery<1"')
    )
    ran = subprocess.run(
        [sys.executable, str(tmp_path / ".ci" / "lock.py")], capture_output=True, text=True, timeout=30
    )
    assert ran.returncode == 1
    assert "requirements.txt lacks poor" in ran.stderr
    assert "requirements.txt has rich for pyproject.toml, which does not name it" in ran.stderr
    assert "of celery, and pyproject.toml wants <1" in ran.stderr


def test_the_project_names_nothing_of_a_stranger() -> None:
    """`nms` on the package index is another project."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == "agentless-nms"
    listed = subprocess.run(["git", "grep", "-n", r"nms\[[a-z]"], cwd=ROOT, capture_output=True, text=True)
    assert [line for line in listed.stdout.splitlines() if "test_packaging" not in line] == []
