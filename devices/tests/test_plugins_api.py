"""/api/v1/plugins: what a form for credentials is built from."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from devices.plugins import plugin_ids

URL = "/api/v1/plugins"
pytestmark = pytest.mark.django_db


def test_lists_every_plugin_with_its_schema(api: APIClient) -> None:
    shown = api.get(URL).json()
    assert [plugin["id"] for plugin in shown] == plugin_ids() == ["icmp", "snmp", "ssh", "winrm"]
    for plugin in shown:
        Draft202012Validator.check_schema(plugin["credential_schema"])
    assert shown[3]["default_port"] == 5985
    assert shown[3]["modes"] == ["batch", "stream"]


def test_shows_one(api: APIClient) -> None:
    for url in (f"{URL}/snmp", f"{URL}/snmp/"):
        assert api.get(url).json()["name"] == "SNMP v1, v2c and v3"


@pytest.mark.parametrize("name", ["telnet", "a-b", "..", "%00"])
def test_an_unknown_one_is_404(api: APIClient, name: str) -> None:
    assert api.get(f"{URL}/{name}").status_code == 404


def test_secrets_are_marked_for_the_form(api: APIClient) -> None:
    secrets: dict[str, Any] = {
        plugin["id"]: {
            name
            for name, rule in plugin["credential_schema"].get("properties", {}).items()
            if rule.get("writeOnly")
        }
        for plugin in api.get(URL).json()
    }
    assert secrets == {
        "icmp": set(),
        "snmp": {"community", "auth_password", "priv_password"},
        "ssh": {"password", "private_key", "passphrase"},
        "winrm": {"password", "client_key"},
    }


def test_needs_a_login(anonymous: APIClient) -> None:
    assert anonymous.get(URL).status_code == 401


def test_nothing_can_be_changed(api: APIClient) -> None:
    assert api.post(URL, {}).status_code == 405
    assert api.delete(f"{URL}/snmp").status_code == 405
