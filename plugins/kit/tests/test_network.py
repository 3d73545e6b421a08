"""Whose fault an error of the operating system is."""

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.contract import ErrorCode
from plugins.kit.network import classify_network
from plugins.tests.process import without_network


def code(error: BaseException, target: str = "127.0.0.1") -> ErrorCode | None:
    found = classify_network(error, target)
    return found[0] if found else None


def os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    "number",
    [
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EAFNOSUPPORT,
        errno.EPERM,
        errno.EMFILE,
        errno.EADDRNOTAVAIL,
    ],
)
def test_what_this_machine_cannot_do_is_not_the_hosts_fault(number: int) -> None:
    assert code(os_error(number)) is ErrorCode.INTERNAL


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError(), ErrorCode.TIMEOUT),
        (os_error(errno.ETIMEDOUT), ErrorCode.TIMEOUT),
        (os_error(errno.ECONNREFUSED), ErrorCode.REFUSED),
        (os_error(errno.ECONNRESET), ErrorCode.PROTOCOL),
        (os_error(errno.EPIPE), ErrorCode.PROTOCOL),
        (socket.gaierror(socket.EAI_NONAME, "unknown"), ErrorCode.UNREACHABLE),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), ErrorCode.INTERNAL),
        (ValueError(), None),
    ],
)
def test_whose_fault_it_is(error: BaseException, expected: ErrorCode | None) -> None:
    assert code(error) is expected


def test_an_unreachable_host_is_the_hosts_fault_where_a_route_leads_to_it() -> None:
    assert code(os_error(errno.EHOSTUNREACH), "127.0.0.1") is ErrorCode.UNREACHABLE


def test_an_unreachable_host_is_our_fault_where_no_route_leads_to_it() -> None:
    script = (
        "from plugins.kit.network import has_route\n"
        "from plugins.kit.tests.test_network import code, errno, os_error\n"
        "assert not has_route('192.0.2.1')\n"
        "assert not has_route('2001:db8::1')\n"
        "assert has_route('a.name.example')\n"
        "assert code(os_error(errno.EHOSTUNREACH), '192.0.2.1') == 'internal'\n"
    )
    subprocess.run(
        [*without_network(), sys.executable, "-c", script],
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
