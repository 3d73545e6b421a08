"""A real OpenSSH server on loopback, with accounts of its own.

As root it runs in a mount namespace whose account files are ours, so that accounts and passwords exist for it
alone. Without root it can only log in whoever runs the tests, by key.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

import bcrypt

from plugins.lab.daemons import ROOT, descendants, end, environment, program

PORT = 12222
START_SECONDS = 20.0
PASSWORD = "s3cret-of-the-ssh-hosts"  # noqa: S105 (of accounts that exist in the lab alone)
IS_ROOT = os.geteuid() == 0
APPLETS = ("sh", "cat", "ls", "df", "awk", "uname", "hostname", "echo", "sleep")
HUNG_DF_SECONDS = 98_765  # by which a test finds the processes
USER = "monitor" if IS_ROOT else getpass.getuser()
# Their shells: dash, busybox with nothing else on the path, one that prints something first, none at all,
# one that refuses as nologin(8) does, and dash with a df that never ends.
ACCOUNTS = {
    "monitor": "/bin/sh",
    "busy": "{folder}/busybox/sh",
    "noisy": "{folder}/noisy",
    "nobody2": "/bin/false",
    "refused": "{folder}/refused",
    "hung": "/bin/sh",
}


class Server:
    """A context manager."""

    def __init__(self, address: str, *, prefix: Sequence[str] = ()) -> None:
        self.address = address
        self._prefix = prefix  # for example ("taskset", "-c", "0")
        self.folder = Path(tempfile.mkdtemp(prefix="nms-sshd-"))
        self.folder.chmod(0o755)
        self._process: subprocess.Popen[bytes] | None = None
        self.key, self.passphrase_key = "", ""
        self.host_key = ""

    def __enter__(self) -> "Server":
        with ExitStack() as undo:
            undo.callback(self._remove)
            self._prepare()
            self.start()
            undo.pop_all()
        return self

    def _prepare(self) -> None:
        self.key = self._make_key("key", "")
        self.passphrase_key = self._make_key("locked", "a passphrase")
        self.new_host_key()
        (self.folder / "authorized_keys").write_text(
            "".join((self.folder / f"{name}.pub").read_text() for name in ("key", "locked"))
        )
        self._write_shells()
        if IS_ROOT:
            self._write_accounts()
        (self.folder / "config").write_text(self._configuration())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_host_key(self) -> None:
        """Of two kinds, as hosts have them; `host_key` is the Ed25519 one."""
        for kind in ("rsa", "ed25519"):
            for name in (f"host_{kind}", f"host_{kind}.pub"):
                (self.folder / name).unlink(missing_ok=True)
            self._make_key(f"host_{kind}", "", kind)
        self.host_key = " ".join((self.folder / "host_ed25519.pub").read_text().split()[:2])

    def known_hosts(self) -> str:
        return f"[{self.address}]:{PORT} {self.host_key}"

    def start(self) -> None:
        command = [program("sshd"), "-D", "-e", "-f", str(self.folder / "config")]
        if IS_ROOT:
            (self.folder / "run").write_text(
                f"mount --bind {self.folder}/passwd /etc/passwd\n"
                f"mount --bind {self.folder}/shadow /etc/shadow\n"
                "mount -t tmpfs none /run\nmkdir -m 755 /run/sshd\n"
                f"exec {' '.join(command)}\n"
            )
            command = ["unshare", "--mount", "sh", "-e", str(self.folder / "run")]
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*self._prefix, *command],
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"sshd did not start: {(self.folder / 'log').read_text(errors='replace')}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process:
            self._end_sessions(self._process.pid)
            end(self._process)
            self._process = None

    def drop_connections(self) -> None:
        """The server lives on; every connection dies."""
        assert self._process  # noqa: S101 (started)
        self._end_sessions(self._process.pid)

    def _end_sessions(self, pid: int) -> None:
        """Each connection is a child in a session of its own."""
        for child in descendants(pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((self.address, PORT), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def _make_key(self, name: str, passphrase: str, kind: str = "ed25519") -> str:
        path = self.folder / name
        subprocess.run(
            [
                program("ssh-keygen"),
                "-q",
                "-t",
                kind,
                "-N",
                passphrase,
                "-C",
                "",
                "-f",
                str(path),
            ],
            check=True,
            env=environment(),
            timeout=20,
        )
        return path.read_text()

    def _write_shells(self) -> None:
        applets = self.folder / "busybox"
        applets.mkdir(exist_ok=True)
        shutil.copy(program("busybox"), applets / "busybox")
        for name in APPLETS:
            (applets / name).unlink(missing_ok=True)
            (applets / name).symlink_to("busybox")
        noisy = self.folder / "noisy"
        noisy.write_text('#!/bin/sh\necho "Welcome! @nms-stat is not here."\nexec /bin/sh "$@"\n')
        noisy.chmod(0o755)
        refused = self.folder / "refused"
        refused.write_text("#!/bin/sh\necho 'This account is currently not available.'\nexit 1\n")
        refused.chmod(0o755)
        hung = self.folder / "hung"
        hung.mkdir(exist_ok=True)
        (hung / "df").write_text(f"#!/bin/sh\nexec sleep {HUNG_DF_SECONDS}\n")
        (hung / "df").chmod(0o755)

    def _write_accounts(self) -> None:
        password = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
        passwd = ["root:x:0:0::/root:/bin/sh", "sshd:x:105:65534::/run/sshd:/usr/sbin/nologin"]
        shadow = ["root:*:19000::::::", "sshd:*:19000::::::"]
        for number, (name, shell) in enumerate(ACCOUNTS.items()):
            passwd.append(f"{name}:x:{4_242 + number}:65534::/tmp:{shell.format(folder=self.folder)}")
            shadow.append(f"{name}:{password}:19000::::::")
        (self.folder / "passwd").write_text("\n".join(passwd) + "\n")
        (self.folder / "shadow").write_text("\n".join(shadow) + "\n")

    def _configuration(self) -> str:
        lines = [
            f"ListenAddress {self.address}:{PORT}",
            f"HostKey {self.folder}/host_rsa",
            f"HostKey {self.folder}/host_ed25519",
            "PidFile none",
            "UsePAM no",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            f"PasswordAuthentication {'yes' if IS_ROOT else 'no'}",
            "KbdInteractiveAuthentication no",
            "StrictModes no",
            "UseDNS no",
            "MaxStartups 1000",
            "MaxSessions 10",
            "LogLevel ERROR",
        ]
        # Newer servers start helpers from where the package would be installed.
        for keyword, name in (("SshdSessionPath", "sshd-session"), ("SshdAuthPath", "sshd-auth")):
            helper = ROOT / "usr/lib/openssh" / name
            if helper.exists():
                lines.append(f"{keyword} {helper}")
        if IS_ROOT:
            lines += ["Match User busy", f"SetEnv PATH={self.folder}/busybox"]
            lines += ["Match User hung", f"SetEnv PATH={self.folder}/hung:/usr/bin:/bin"]
        return "\n".join(lines) + "\n"
