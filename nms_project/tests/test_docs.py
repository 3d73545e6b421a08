"""The docs keep up with the code: a setting, endpoint, plugin or command without its line fails here."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver

from devices.plugins import registry
from nms_project import env

ROOT: Path = settings.BASE_DIR
DOCS = ROOT / "docs"
OUR_COMMANDS = sorted(
    path.stem for path in ROOT.glob("*/management/commands/*.py") if path.stem != "__init__"
)


def routes(resolver: URLResolver, prefix: str = "") -> list[str]:
    found = []
    for entry in resolver.url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            found += routes(entry, path)
        elif isinstance(entry, URLPattern):
            found.append(path)
    return found


@pytest.mark.parametrize("name", sorted(env.DECLARED))
def test_every_setting_has_a_row(name: str) -> None:
    assert re.search(rf"^\| `{name}` \|", (DOCS / "settings.md").read_text(), re.MULTILINE), name


def test_every_row_is_a_setting() -> None:
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \|", (DOCS / "settings.md").read_text(), re.MULTILINE)
    django_names = {f"DJANGO_SUPERUSER_{part}" for part in ("USERNAME", "PASSWORD", "EMAIL")}
    assert set(rows) == env.DECLARED | django_names


def test_every_endpoint_is_described() -> None:
    text = (DOCS / "api.md").read_text()
    found = [re.match(r"api/v1/\^?([a-z_/]+)", path) for path in routes(get_resolver())]
    heads = {match[1].rstrip("/") for match in found if match}
    assert {"devices", "auth/token/refresh", "metrics"} <= heads
    assert {head for head in heads if head not in text} == set()


@pytest.mark.parametrize("name", sorted(registry().plugins))
def test_every_plugin_is_described(name: str) -> None:
    assert f"`{name}`" in (DOCS / "plugins.md").read_text()


@pytest.mark.parametrize("name", OUR_COMMANDS)
def test_every_command_is_described(name: str) -> None:
    assert f"`{name}`" in (DOCS / "operation.md").read_text()


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda page: page.name)
def test_links_and_named_modules_exist(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / target).exists(), target
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+\.(?:py|lua|ps1|json))`", text):
        assert (ROOT / name).exists(), name
