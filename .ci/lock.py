#!/usr/bin/env python3
"""Compare the lock files with pyproject.toml, offline: exit 1 and name each difference."""

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
# As uv writes it: "name==version ; marker \", its hashes, then comments that name the packages that need it.
PIN = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(\[.*\])?==(?P<version>[^ ]+)(?P<rest>.*(?:\n .*)*)", re.MULTILINE
)


def faults(lock: str, direct: str, wanted: list[Requirement]) -> list[str]:
    """Return what is wrong with `lock`, whose comments name what the project itself needs `direct`."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    pins = {
        canonicalize_name(pin["name"]): (Version(pin["version"]), pin["rest"]) for pin in PIN.finditer(text)
    }
    names = {canonicalize_name(requirement.name) for requirement in wanted}
    found = [f"{lock} lacks {name}" for name in sorted(names - pins.keys())]
    found += [
        f"{lock} has {pins[name][0]} of {name}, and pyproject.toml wants {requirement.specifier}"
        for requirement in wanted
        if (name := canonicalize_name(requirement.name)) in pins
        and pins[name][0] not in requirement.specifier
    ]
    asked = {name for name, (_, rest) in pins.items() if direct in rest}
    found += [
        f"{lock} has {name} for pyproject.toml, which does not name it" for name in sorted(asked - names)
    ]
    found += [f"{lock} has no hash of {name}" for name, (_, rest) in pins.items() if "--hash=" not in rest]
    return found


def main() -> int:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    name = project["project"]["name"]
    run = [Requirement(line) for line in project["project"]["dependencies"]]
    dev = [Requirement(line) for line in project["dependency-groups"]["dev"]]
    found = faults("requirements.txt", f"{name} (pyproject.toml)", run)
    found += faults("requirements-dev.txt", f"{name} (pyproject.toml:dev)", dev)
    sys.stderr.writelines(f"{line}: run `make lock`\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
