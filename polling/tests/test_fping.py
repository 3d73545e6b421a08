"""The fping stage: the real program on loopback, and the parser on what it prints."""

import os
import sys
from pathlib import Path

import pytest

from polling.errors import FpingFault
from polling.fping import FpingOptions, parse_count, parse_first_answer, ping

WITHOUT_IPV6 = Path(__file__).with_name("without_ipv6.py")


def test_loopback_answers() -> None:
    echoes = ping(["127.20.0.1", "127.20.0.2", "127.20.0.1"])
    assert list(echoes) == ["127.20.0.1", "127.20.0.2"]
    assert all(echo.is_alive and echo.loss_percent == 0 for echo in echoes.values())
    assert all(echo.rtt_ms is not None and 0 < echo.rtt_ms < 1_000 for echo in echoes.values())


def test_ipv6_loopback_answers() -> None:
    assert ping(["::1"])["::1"].is_alive


def test_counts_give_true_loss() -> None:
    echo = ping(["127.0.0.1"], FpingOptions(count=3))["127.0.0.1"]
    assert (echo.is_alive, echo.loss_percent) == (True, 0)


def test_an_empty_list_starts_nothing() -> None:
    assert ping([], FpingOptions(binary="/nonexistent")) == {}


def test_a_missing_binary_is_our_fault() -> None:
    with pytest.raises(FpingFault, match="apt-get install fping"):
        ping(["127.0.0.1"], FpingOptions(binary="/nonexistent/fping"))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 3", "bad arguments"),
        ("echo no permission >&2; exit 4", "setcap cap_net_raw"),
        ("exit 2", "could not be resolved"),
        ("kill -9 $$", "it was killed"),
        ("exit 0", "named no address"),
        ("exit 1", "named no address"),
    ],
)
def test_an_abnormal_exit_is_never_all_down(tmp_path: Path, script: str, words: str) -> None:
    binary = tmp_path / "fping"
    binary.write_text(f"#!/bin/sh\ncat >/dev/null\n{script}\n")
    binary.chmod(0o755)
    with pytest.raises(FpingFault, match=words):
        ping(["127.0.0.1"], FpingOptions(binary=str(binary)))


@pytest.mark.parametrize("count", [0, 2])
def test_what_never_left_this_machine_is_not_down(count: int) -> None:
    # The system refuses a broadcast at once, as it does everything when there is no route.
    with pytest.raises(FpingFault, match=r"nothing could be sent from this machine: Permission denied\."):
        ping(["255.255.255.255"], FpingOptions(count=count))


@pytest.mark.parametrize("count", [0, 2])
def test_one_that_cannot_be_sent_to_is_told_beside_others(count: int) -> None:
    unsent, alive = ping(["255.255.255.255", "127.0.0.1"], FpingOptions(count=count)).values()
    assert (unsent.is_alive, unsent.unsent) == (False, "Permission denied")
    assert (alive.is_alive, alive.unsent) == (True, "")


@pytest.mark.parametrize("count", [0, 2])
def test_on_a_machine_without_ipv6_its_devices_are_not_down(tmp_path: Path, count: int) -> None:
    """fping calls them unreachable, as it does hosts that are down."""
    binary = tmp_path / "fping"
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} {WITHOUT_IPV6} fping "$@"\n')
    binary.chmod(0o755)
    options = FpingOptions(binary=str(binary), count=count, retries=0)
    echoes = ping(["127.0.0.1", "2001:db8::1"], options)
    assert echoes["127.0.0.1"].is_alive
    assert echoes["2001:db8::1"].unsent == "this machine has no IPv6"
    assert list(echoes) == ["127.0.0.1", "2001:db8::1"]


def test_the_silence_of_an_fping_that_was_held_up_means_nothing(tmp_path: Path) -> None:
    binary = tmp_path / "fping"
    binary.write_text(
        "#!/bin/sh\ncat >/dev/null\nsleep 3\n"
        "echo '127.0.0.1 is alive (1 ms)'\necho '127.0.0.2 is unreachable'\nexit 1\n"
    )
    binary.chmod(0o755)
    options = FpingOptions(binary=str(binary), timeout_ms=50, retries=0)
    alive, silent = ping(["127.0.0.1", "127.0.0.2"], options).values()
    assert alive.is_alive
    assert "held up" in silent.unsent


def test_the_child_sees_none_of_our_environment(tmp_path: Path) -> None:
    seen = tmp_path / "environment"
    binary = tmp_path / "fping"
    binary.write_text(f"#!/bin/sh\ncat >/dev/null\nenv > {seen}\necho '127.0.0.1 is alive (1 ms)'\n")
    binary.chmod(0o755)
    ping(["127.0.0.1"], FpingOptions(binary=str(binary)))
    assert os.environ["NMS_SECRET_KEY"] not in seen.read_text()
    assert "NMS_" not in seen.read_text()


def test_parses_first_answers() -> None:
    found = parse_first_answer(
        "10.0.0.1 is alive (0.34 ms)\n10.0.0.2 is unreachable\nICMP Host Unreachable\n"
    )
    assert found["10.0.0.1"].rtt_ms == 0.34
    assert (found["10.0.0.2"].is_alive, found["10.0.0.2"].loss_percent) == (False, 100)
    assert len(found) == 2


def test_parses_counts() -> None:
    found = parse_count("10.0.0.1 : 1.0 - 3.0 -\n10.0.0.2 : - - - -\n")
    assert (found["10.0.0.1"].rtt_ms, found["10.0.0.1"].loss_percent) == (2.0, 50)
    assert (found["10.0.0.2"].is_alive, found["10.0.0.2"].rtt_ms) == (False, None)
