"""The state directory: where the embedded servers live and where generated keys are kept."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from django.core.exceptions import ImproperlyConfigured

ENDPOINTS_FILE = "endpoints.json"


def secret(state_dir: Path, name: str, generate: Callable[[], str]) -> str:
    """The secret kept in `state_dir`/`name`, generated on first use, readable by its owner only.

    Two processes that start at once agree on one value: the file appears whole, under its own name, or not at
    all.
    """
    path = state_dir / name
    try:
        if not path.exists():
            state_dir.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{name}.{os.getpid()}")
            draft.touch(mode=0o600)
            with draft.open("w", encoding="ascii") as file:
                file.write(generate())
                file.flush()
                os.fsync(file.fileno())  # what is encrypted with it must not outlive it in a power cut
            try:
                os.link(draft, path)  # fails where another process was first: its value stands
            except FileExistsError:
                pass
            finally:
                draft.unlink()
        value = path.read_text(encoding="ascii").strip()
    except UnicodeDecodeError:
        value = ""
    except OSError as error:
        raise ImproperlyConfigured(
            f"NMS_STATE_DIR: {path} cannot be used ({error.strerror}). Name a directory you can write to."
        ) from error
    if not value:
        raise ImproperlyConfigured(
            f"{path} is empty or damaged. Restore it from a backup; without one, delete it, and what was "
            "encrypted or signed with it is lost."
        )
    return value


def log_open(path: Path) -> BinaryIO:
    """Open a log to append to, readable by its owner only, also where an earlier version made it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


def endpoints_read(state_dir: Path) -> dict[str, str]:
    """Return the addresses of the embedded servers, as the process that started them wrote them down; none
    where there is no file. Raise ImproperlyConfigured for a file that is damaged.
    """
    path = state_dir / ENDPOINTS_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(key): str(value) for key, value in found.items()}
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (OSError, ValueError, AttributeError):
        raise ImproperlyConfigured(f"{path} is damaged. Delete it; the next `run` writes it again.") from None


def endpoints_write(state_dir: Path, endpoints: dict[str, str]) -> None:
    draft = state_dir / f".{ENDPOINTS_FILE}.{os.getpid()}"
    draft.write_text(json.dumps(endpoints), encoding="utf-8")
    draft.replace(state_dir / ENDPOINTS_FILE)
