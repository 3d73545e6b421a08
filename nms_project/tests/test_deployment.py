"""docker-compose.yml, Dockerfile and Procfile, read by a parser: no image can be built in a test."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from honcho.environ import parse_procfile

from nms_project.queues import concurrency, queue_names

ROOT: Path = settings.BASE_DIR
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "nms:latest"}
SECRETS = ("PASSWORD", "SECRET", "KEY")


def worker_queues(commands: list[list[str]]) -> list[str]:
    return [
        queue
        for command in commands
        if command[:3] == ["python", "manage.py", "worker"]
        for queue in command[3:]
    ]


def test_images_and_their_versions() -> None:
    assert SERVICES["postgres"]["image"] == "postgres:18"
    assert SERVICES["redis"]["image"] == "redis:8"


def test_every_queue_has_a_worker_of_its_own() -> None:
    queues = worker_queues([service["command"] for service in OURS.values()])
    assert sorted(queues) == sorted(queue_names())


def test_postgresql_takes_the_threads_of_all() -> None:
    """One container of each kind, and room to scale out."""
    queues = worker_queues([service["command"] for service in OURS.values()])
    threads = sum(map(concurrency, queues)) + settings.NMS_WEB_PROCESSES * settings.NMS_WEB_THREADS
    most = next(word for word in SERVICES["postgres"]["command"] if word.startswith("max_connections="))
    assert int(most.partition("=")[2]) >= 2 * threads
    text = (ROOT / "docker-compose.yml").read_text()
    assert f"may hold a connection: {threads} with one container of each kind" in text


def test_the_procfile_covers_every_queue() -> None:
    processes = parse_procfile((ROOT / "Procfile").read_text()).processes
    queues = worker_queues([shlex.split(command) for command in processes.values()])
    assert sorted(queues) == sorted(queue_names())


def test_every_command_exists() -> None:
    for service in OURS.values():
        assert service["command"][2] in get_commands()


def test_two_beats() -> None:
    assert [service["command"][2] for service in OURS.values()].count("beat") == 2


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name, default in re.findall(r"\$\{(\w+)(:-[^}]*)?", text):
        if any(word in name for word in SECRETS):
            assert not default, name
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if any(word in name for word in SECRETS):
                assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), name


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "prepare"])
def test_every_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


def test_redis_loses_nothing_it_was_given() -> None:
    command = " ".join(SERVICES["redis"]["command"])
    assert "appendonly yes" in command
    assert "maxmemory-policy noeviction" in command


def test_the_services_that_ping_may() -> None:
    for name in ("ping", "discovery"):
        assert (SERVICES[name]["cap_add"], SERVICES[name]["cap_drop"]) == (["NET_RAW"], ["ALL"])
    assert "setcap cap_net_raw+ep /usr/bin/fping" in DOCKERFILE


def test_the_image_runs_as_nobody_special() -> None:
    instructions = [line for line in DOCKERFILE.splitlines() if line.startswith(("USER", "CMD"))]
    assert instructions[0] == "USER nms"


def test_no_committed_file_names_a_package_registry() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "pyproject.toml", "Dockerfile"):
        assert not re.search(r"https?://", (ROOT / name).read_text()), name
