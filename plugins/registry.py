"""The plugins of a directory, found by their manifests.

A plugin is a folder with a `manifest.json` and an executable. A folder whose manifest or executable is
unusable is left out and reported; the others work.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Plugin:
    """What a manifest declares. `executable` is None for a protocol that is built in and needs no process."""

    id: str
    name: str
    version: str
    default_port: int
    credential_schema: dict[str, Any] = field(repr=False)
    modes: frozenset[str]
    executable: Path | None
    # The target says nothing to a wrong credential, so a time-out may mean one.
    wrong_credentials_are_silent: bool = False
    # Whether its targets lock an account after refused logins.
    locks_accounts: bool = True

    @property
    def has_stream_mode(self) -> bool:
        return "stream" in self.modes

    def credential_errors(self, payload: Any) -> list[str]:
        """What the schema finds wrong with a credential payload, one sentence each, without any of its
        values.
        """
        validator = Draft202012Validator(self.credential_schema)
        return [_describe(error) for error in validator.iter_errors(payload)]


@dataclass(frozen=True, slots=True)
class Problem:
    folder: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Registry:
    plugins: dict[str, Plugin]
    problems: list[Problem]


# ICMP needs no process: discovery and polling take its answer from the ping stage. It has no port and no
# secret.
ICMP = Plugin(
    id="icmp",
    name="Ping only (ICMP echo)",
    version="1",
    default_port=0,
    credential_schema={"type": "object", "additionalProperties": False},
    modes=frozenset(),
    executable=None,
)


def load(directory: Path) -> Registry:
    """Reads every plugin folder of `directory`, in the order of their names."""
    plugins = {ICMP.id: ICMP}
    problems: list[Problem] = []
    manifests = sorted(directory.glob(f"*/{MANIFEST}"))
    for manifest in manifests:
        try:
            plugin = read(manifest.parent)
        except ValueError as error:
            problems.append(Problem(manifest.parent, str(error)))
            continue
        if plugin.id in plugins:
            problems.append(Problem(manifest.parent, f"another plugin has the id {plugin.id!r} already"))
            continue
        plugins[plugin.id] = plugin
    return Registry(plugins, problems)


def read(folder: Path) -> Plugin:
    """The plugin of one folder. Raises ValueError with a reason that names the field at fault."""
    manifest = folder / MANIFEST
    try:
        fields = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{MANIFEST} cannot be read: {error}") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{MANIFEST} must hold an object")
    plugin_id = fields.get("id")
    if not isinstance(plugin_id, str) or not plugin_id.isidentifier() or len(plugin_id) > 32:
        raise ValueError("'id' must be a word of at most 32 letters, digits and underscores")
    port = fields.get("default_port")
    if not isinstance(port, int) or not 1 <= port <= 65_535:
        raise ValueError("'default_port' must be from 1 to 65535")
    return Plugin(
        id=plugin_id,
        name=str(fields.get("name", plugin_id)),
        version=str(fields.get("version", "")),
        default_port=port,
        credential_schema=_schema(fields),
        modes=_modes(fields),
        executable=_executable(manifest.parent, fields),
        wrong_credentials_are_silent=fields.get("wrong_credentials_are_silent") is True,
        locks_accounts=fields.get("locks_accounts") is not False,
    )


def _schema(fields: dict[str, Any]) -> dict[str, Any]:
    schema = fields.get("credential_schema")
    if not isinstance(schema, dict):
        raise ValueError("'credential_schema' must be a JSON Schema object")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"'credential_schema' is not a valid JSON Schema: {error.message}") from None
    return schema


def _modes(fields: dict[str, Any]) -> frozenset[str]:
    modes = fields.get("modes", ["batch"])
    if not isinstance(modes, list) or "batch" not in modes or not {"batch", "stream"}.issuperset(modes):
        raise ValueError('\'modes\' must hold "batch", and may hold "stream"')
    return frozenset(modes)


def _executable(folder: Path, fields: dict[str, Any]) -> Path:
    name = fields.get("executable")
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ValueError("'executable' must name a file in the plugin's folder")
    path = folder / name
    if not path.is_file():
        raise ValueError(f"the executable {name!r} does not exist")
    if not os.access(path, os.X_OK):
        raise ValueError(f"the file {name!r} is not executable: chmod +x it")
    return path


def _describe(error: Any) -> str:
    """jsonschema's own messages quote the value, which here is a secret; ours name the place and the rule."""
    place = "/".join(str(part) for part in error.absolute_path) or "payload"
    rule = error.validator
    if rule == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"{place}: missing {', '.join(missing)}."
    if rule == "additionalProperties":
        known = ", ".join(sorted(error.schema.get("properties", {}))) or "none"
        return f"{place}: has an unknown key; the known ones are: {known}."
    if rule == "type":
        return f"{place}: must be of type {error.validator_value}."
    if rule == "enum":
        return f"{place}: must be one of {', '.join(map(str, error.validator_value))}."
    if rule == "minLength":
        least = error.validator_value
        return (
            f"{place}: must have at least {least} characters."
            if least > 1
            else f"{place}: must not be empty."
        )
    if rule == "dependentRequired":
        absent = {
            other
            for name, others in error.validator_value.items()
            if name in error.instance
            for other in others
            if other not in error.instance
        }
        return f"{place}: missing {', '.join(sorted(absent))}, which another key needs."
    if rule == "anyOf":
        choices = [" and ".join(option.get("required", [])) for option in error.validator_value]
        if all(choices):
            return f"{place}: needs {' or '.join(choices)}."
    return f"{place}: breaks the rule {rule} of the plugin's schema."
