"""The ping stage's probe: one fping process for a batch of addresses, which it reads from stdin.

Exit codes, after fping(8): 0 all reachable, 1 some not, 2 some address not found, 3 bad arguments, 4 system
call failure.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from django.conf import settings

from polling.errors import FpingFault

ADDRESS_LINE = re.compile(r"^(?P<address>\S+) is (?P<state>alive|unreachable)(?: \((?P<rtt>[\d.]+) ms\))?")
UNSENT_LINE = re.compile(r"^(?P<address>\S+): error while sending ping: (?P<why>.+)$", re.MULTILINE)
COUNT_LINE = re.compile(r"^(?P<address>\S+)\s*: (?P<replies>[\d.\- ]+)$")
IPV6_LOOPBACK = "::1"
NO_IPV6 = "this machine has no IPv6"
REMEDIES = {
    2: "an address could not be resolved, although only addresses are given",
    3: "bad arguments; see NMS_FPING_TIMEOUT_MS, NMS_FPING_RETRIES and NMS_FPING_INTERVAL_MS",
    4: "it may not open its socket; give it the capability: setcap cap_net_raw+ep /usr/bin/fping",
}


@dataclass(frozen=True, slots=True)
class Echo:
    """What fping found out about one address; nothing, where `unsent` says why no probe could leave this
    machine.
    """

    is_alive: bool
    rtt_ms: float | None
    loss_percent: float
    unsent: str = ""


@dataclass(frozen=True, slots=True)
class _Done:
    returncode: int
    stdout: str
    stderr: str
    seconds: float


DEAD = Echo(is_alive=False, rtt_ms=None, loss_percent=100.0)


@dataclass(frozen=True, slots=True)
class FpingOptions:
    """`count` 0 asks until the first answer; n sends n probes, which gives true loss."""

    binary: str = "fping"
    count: int = 0
    timeout_ms: int = 500
    retries: int = 2
    interval_ms: int = 1

    def command(self) -> list[str]:
        common = ["-t", str(self.timeout_ms), "-i", str(self.interval_ms)]
        if self.count:
            return [self.binary, "-q", "-C", str(self.count), *common]
        return [self.binary, "-e", "-r", str(self.retries), *common]

    def expected_seconds(self, addresses: int) -> float:
        """What a batch takes when nobody answers."""
        sending = addresses * self.interval_ms / 1_000 * max(self.count, self.retries + 1)
        # fping multiplies the time-out by 1.5 for each retry.
        waiting = self.timeout_ms / 1_000 * sum(1.5**n for n in range(self.retries + 1)) + self.count
        return sending + waiting

    def late_seconds(self, addresses: int) -> float:
        """Return how long a batch may take before its silent addresses mean nothing: fping was held up."""
        return 1.5 * self.expected_seconds(addresses) + 2

    def deadline_seconds(self, addresses: int) -> float:
        """Twice what is expected, and room for a busy machine."""
        return 2 * self.expected_seconds(addresses) + 10


def options_from_settings() -> FpingOptions:
    return FpingOptions(
        binary=settings.NMS_FPING,
        count=settings.NMS_FPING_COUNT,
        timeout_ms=settings.NMS_FPING_TIMEOUT_MS,
        retries=settings.NMS_FPING_RETRIES,
        interval_ms=settings.NMS_FPING_INTERVAL_MS,
    )


def ping(addresses: Iterable[str], options: FpingOptions | None = None) -> dict[str, Echo]:
    """One Echo for each distinct address; an empty list starts nothing.

    Raises FpingFault when fping could not do its work: then no address is down, nothing is known.
    """
    unique = list(dict.fromkeys(addresses))
    if not unique:
        return {}
    options = options or options_from_settings()
    done = _run(options, _with_control(unique))
    if done.returncode not in (0, 1):
        raise FpingFault(_fault(done))
    # With -C the answers come on stderr, with -e on stdout.
    found = parse_count(done.stderr) if options.count else parse_first_answer(done.stdout)
    missing = [address for address in unique if address not in found]
    if len(missing) == len(unique):
        raise FpingFault(f"fping ended with {done.returncode} but named no address: {_tail(done.stderr)}")
    dead = [address for address in unique if address not in found or not found[address].is_alive]
    why = _unsent(dead, options, done) | _unheard(dead, found)
    if done.seconds > options.late_seconds(len(unique)):
        why = dict.fromkeys(dead, f"fping was held up and took {done.seconds:.1f} s") | why
    if len(why) == len(unique):
        raise FpingFault(f"nothing could be sent from this machine: {', '.join(sorted(set(why.values())))}.")
    return {
        address: replace(DEAD, unsent=why[address]) if address in why else found.get(address, DEAD)
        for address in unique
    }


def _with_control(addresses: Sequence[str]) -> Sequence[str]:
    """Add the loopback address to a batch with IPv6: where it does not answer, this machine has no IPv6."""
    has_ipv6 = any(":" in address for address in addresses)
    return [*addresses, IPV6_LOOPBACK] if has_ipv6 and IPV6_LOOPBACK not in addresses else addresses


def _unheard(dead: Sequence[str], found: Mapping[str, Echo]) -> dict[str, str]:
    """Return {address: why} for IPv6 addresses on a machine without IPv6: fping calls them unreachable."""
    control = found.get(IPV6_LOOPBACK)
    if control is not None and control.is_alive:
        return {}
    return {address: NO_IPV6 for address in dead if ":" in address}


def _unsent(dead: Sequence[str], options: FpingOptions, done: "_Done") -> dict[str, str]:
    """{address: why} of those to which this machine could not send, such as one that lost its link or a
    route: it is not they that are down.
    """
    if options.count and dead:  # with -C it keeps that to itself
        done = _run(replace(options, count=0, retries=0), dead)
    lines = {line["address"]: line["why"] for line in UNSENT_LINE.finditer(done.stderr)}
    return {address: lines[address] for address in dead if address in lines}


def _run(options: FpingOptions, addresses: Sequence[str]) -> "_Done":
    """Files in memory instead of pipes: fping flushes every line, and each would wake this process up."""
    binary = shutil.which(options.binary)
    if binary is None:
        raise FpingFault(f"{options.binary} is not installed: apt-get install fping, or set NMS_FPING.")
    with _memory_file() as stdin, _memory_file() as stdout, _memory_file() as stderr:
        stdin.write(("\n".join(addresses) + "\n").encode("ascii"))
        stdin.seek(0)
        started = time.monotonic()
        try:
            done = subprocess.run(
                [binary, *options.command()[1:]],
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                timeout=options.deadline_seconds(len(addresses)),
                check=False,
                env={"PATH": os.defpath, "LC_ALL": "C"},  # none of the service's own keys
            )
        except subprocess.TimeoutExpired:
            raise FpingFault("fping did not end in time and was killed.") from None
        except OSError as error:
            raise FpingFault(f"fping could not be started: {error.strerror}.") from None
        seconds = time.monotonic() - started
        return _Done(done.returncode, _content(stdout), _content(stderr), seconds)


def _memory_file() -> BinaryIO:
    return os.fdopen(os.memfd_create("fping"), "w+b")


def _content(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _fault(done: "_Done") -> str:
    what = REMEDIES.get(done.returncode, "it was killed" if done.returncode < 0 else "unknown exit code")
    return f"fping ended with {done.returncode}: {what}. {_tail(done.stderr)}".strip()


def _tail(text: str) -> str:
    return text.strip()[-300:]


def parse_first_answer(text: str) -> dict[str, Echo]:
    """Lines like `10.0.0.1 is alive (0.34 ms)` and `10.0.0.2 is unreachable`."""
    found = {}
    for line in text.splitlines():
        match = ADDRESS_LINE.match(line)
        if match is None:
            continue
        is_alive = match["state"] == "alive"
        rtt = float(match["rtt"]) if match["rtt"] else None
        found[match["address"]] = Echo(is_alive, rtt, 0.0) if is_alive else DEAD
    return found


def parse_count(text: str) -> dict[str, Echo]:
    """Lines like `10.0.0.1 : 0.34 - 0.31`, one field a probe, `-` for a lost one; the RTT is the mean of the
    others.
    """
    found = {}
    for line in text.splitlines():
        match = COUNT_LINE.match(line)
        if match is None:
            continue
        replies = match["replies"].split()
        times = [float(reply) for reply in replies if reply != "-"]
        loss = 100.0 * (len(replies) - len(times)) / len(replies)
        mean = round(sum(times) / len(times), 3) if times else None
        found[match["address"]] = Echo(bool(times), mean, loss)
    return found
