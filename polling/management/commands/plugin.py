"""Plugins from a terminal: listed, checked against the protocol, and run on one target."""

import getpass
import json
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.table import Table

from devices.crypto import payload_decrypt
from devices.errors import CredentialUnreadable
from devices.models import CredentialProfile
from devices.plugins import plugin_ids, registry
from plugins.contract import Operation, Result, Task
from plugins.registry import Plugin
from polling.conformance.cases import MANY, plugin_check
from polling.runner import BatchRunner

USAGE = 2  # exit code for what was asked wrongly; 1 is a plugin or a target that failed


class Command(BaseCommand):
    help = "Lists plugins, checks one against the protocol, or runs one on one target."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="the plugins of this installation, and folders that cannot be used")
        check = actions.add_parser("check", help="every case of the protocol; exit code 1 when one fails")
        check.add_argument("path", type=Path, help="the plugin's folder")
        check.add_argument("--case", default="", help="only the cases that begin so, such as 'stream:'")
        check.add_argument("--tasks", type=int, default=MANY, help="how many are sent where many are")
        run = actions.add_parser(
            "run", help="one poll; exit code 0 for an answer, 1 for a failure, 2 for a wrong question"
        )
        run.add_argument("plugin", help="the plugin's id, for example winrm")
        run.add_argument("--target", required=True, help="an address or a host name")
        run.add_argument("--port", type=int, help="the plugin's own by default")
        run.add_argument(
            "--profile", help="name or id of a stored credential; without it credentials are asked for"
        )
        run.add_argument("--timeout", type=float, default=float(settings.NMS_PLUGIN_TIMEOUT_SECONDS))
        run.add_argument("--discovery", action="store_true", help="ask for the host's name only")
        run.add_argument("--json", action="store_true", help="the result as the plugin gave it")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console(file=sys.stdout)
        if options["action"] == "list":
            _list(console)
        elif options["action"] == "check":
            sys.exit(_check(console, options["path"], options["case"], options["tasks"]))
        else:
            sys.exit(_run(console, options))


def _list(console: Console) -> None:
    table = Table("id", "name", "version", "port", "modes", box=None, pad_edge=False)
    for name in plugin_ids():
        plugin = registry().plugins[name]
        modes = ", ".join(sorted(plugin.modes)) or "built in"
        table.add_row(plugin.id, plugin.name, plugin.version, str(plugin.default_port), modes)
    console.print(table)
    for problem in registry().problems:
        console.print(f"{problem.folder}: {problem.reason}", highlight=False, markup=False)


def _check(console: Console, folder: Path, case: str, tasks: int) -> int:
    failed = 0
    for finding in plugin_check(folder.resolve(), only=case, many=tasks):
        failed += bool(finding.problem)
        console.print(str(finding), highlight=False, markup=False, soft_wrap=True)
    console.print(f"{failed} cases failed." if failed else "It keeps the protocol.", highlight=False)
    return 1 if failed else 0


def _run(console: Console, options: dict[str, Any]) -> int:
    plugin = registry().plugins.get(options["plugin"])
    if plugin is None or plugin.executable is None:
        known = ", ".join(name for name in plugin_ids() if registry().plugins[name].executable)
        raise CommandError(
            f"There is no plugin {options['plugin']!r} to run. There are: {known}.", returncode=USAGE
        )
    credentials = _stored(plugin, options["profile"]) if options["profile"] else _asked(plugin)
    task = Task(
        request_id="1",
        target=options["target"],
        port=options["port"] or plugin.default_port,
        credentials=credentials,
        timeout_seconds=options["timeout"],
        operation=Operation.DISCOVERY if options["discovery"] else Operation.POLL,
    )
    ((result,),) = BatchRunner(plugin).run([task], start_within_seconds=options["timeout"])
    _show(console, task, result, as_json=options["json"])
    return 0 if result.success else 1


def _stored(plugin: Plugin, name: str) -> dict[str, Any]:
    profiles = CredentialProfile.objects.filter(protocol=plugin.id)
    found = profiles.filter(name=name).first() or (
        profiles.filter(pk=name).first() if name.isdigit() else None
    )
    if found is None:
        known = ", ".join(profiles.values_list("name", flat=True)) or "none"
        raise CommandError(
            f"There is no {plugin.id} credential {name!r}. There are: {known}.", returncode=USAGE
        )
    try:
        return payload_decrypt(found.encrypted_payload)
    except CredentialUnreadable as error:
        raise CommandError(str(error), returncode=USAGE) from None


def _asked(plugin: Plugin) -> dict[str, Any]:
    """Field by field from the schema at a terminal, secrets unseen; as one JSON object from a pipe."""
    if not sys.stdin.isatty():
        try:
            credentials = json.load(sys.stdin)
        except ValueError:
            raise CommandError(
                "stdin must hold the credentials as a JSON object, or give --profile.", returncode=USAGE
            ) from None
    else:
        credentials = _asked_at_terminal(plugin)
    errors = plugin.credential_errors(credentials)
    if errors:
        raise CommandError(" ".join(errors), returncode=USAGE)
    return dict(credentials)


def _asked_at_terminal(plugin: Plugin) -> dict[str, Any]:
    print("Leave a field empty to go without it.", file=sys.stderr)  # noqa: T201 (a prompt)
    credentials: dict[str, Any] = {}
    for name, rule in plugin.credential_schema.get("properties", {}).items():
        choices = "/".join(map(str, rule.get("enum", [])))
        prompt = f"{rule.get('title', name)}{f' ({choices})' if choices else ''}: "
        text = getpass.getpass(prompt) if rule.get("writeOnly") else input(prompt)
        if text:
            credentials[name] = (
                text.lower() in ("true", "yes", "1") if rule.get("type") == "boolean" else text
            )
    return credentials


def _show(console: Console, task: Task, result: Result, *, as_json: bool) -> None:
    if as_json:
        fields = {
            "success": result.success,
            "error_code": result.error_code,
            "error": result.error,
            "hostname": result.hostname,
            "duration_ms": result.duration_ms,
            "data": json.loads(result.data) if result.data else None,
            "remember": dict(result.remember),
        }
        console.print_json(json.dumps(fields, ensure_ascii=False))
        return
    took = f" in {result.duration_ms:,.0f} ms" if result.duration_ms is not None else ""
    if not result.success:
        console.print(
            f"{task.target}: {result.error_code}{took}: {result.error}", highlight=False, markup=False
        )
        return
    console.print(f"{task.target}: {result.hostname or 'answers'}{took}", highlight=False, markup=False)
    for path, value in _leaves(json.loads(result.data or "{}")):
        console.print(f"  {path:40} {_readable(path, value)}", highlight=False, markup=False)


def _leaves(document: Any, path: str = "") -> list[tuple[str, Any]]:
    if not isinstance(document, dict):
        return [(path, document)]
    return [
        leaf
        for name, inner in document.items()
        for leaf in _leaves(inner, f"{path}.{name}" if path else str(name))
    ]


UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def _readable(path: str, value: Any) -> str:
    """With the units of the document: percent, bytes, bytes a second, seconds."""
    head, _, _ = path.partition(".")
    if head == "cpu":
        return f"{value} %"
    if head in ("memory", "disk", "network") and isinstance(value, int | float):
        number, unit = float(value), 0
        while number >= 1024 and unit < len(UNITS) - 1:
            number, unit = number / 1024, unit + 1
        return f"{number:,.1f} {UNITS[unit]}{'/s' if head == 'network' else ''}"
    return f"{value} s" if path.endswith("_seconds") else str(value)
