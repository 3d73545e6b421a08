"""Settings from the environment: a bad value is refused with its name and the remedy."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from nms_project import env, state
from nms_project.stack.live import ROOT


@pytest.fixture(autouse=True)
def _keep_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of these tests are no settings."""
    monkeypatch.setattr(env, "DECLARED", set(env.DECLARED))


@pytest.mark.parametrize(
    ("reader", "value", "words"),
    [
        (
            lambda: env.integer("X_TEST", 1, low=1, high=9),
            "many",
            "X_TEST must be a whole number from 1 to 9",
        ),
        (lambda: env.integer("X_TEST", 1, low=1, high=9), "10", "X_TEST must be from 1 to 9"),
        (lambda: env.number("X_TEST", 1, low=0, high=9), "nan", "X_TEST must be a number"),
        (lambda: env.number("X_TEST", 1, low=0, high=9), "x", "X_TEST must be a number"),
        (lambda: env.boolean("X_TEST", True), "maybe", "X_TEST must be true or false"),
        (lambda: env.networks("X_TEST"), "10.0.0.5,10.0.0.0/99", "X_TEST: '10.0.0.0/99' does not appear"),
        (lambda: env.networks("X_TEST"), "10.0.0.5/8", "X_TEST: 10.0.0.5/8 has host bits set"),
        (lambda: env.choice("X_TEST", "A", ["A", "B"]), "C", "X_TEST must be one of A, B"),
        (lambda: env.integer("X_TEST", 1, low=1, high=99), "1_0", "X_TEST must be a whole number"),
        (lambda: env.integer("X_TEST", 1, low=1, high=99), "\u0663", "X_TEST must be a whole number"),
        (lambda: env.integer("X_TEST", 1, low=1, high=99), "9" * 5_000, "X_TEST must be a whole number"),
        (lambda: env.number("X_TEST", 1, low=0, high=99), "1_0", "X_TEST must be a number"),
        (lambda: env.number("X_TEST", 1, low=0, high=99), "inf", "X_TEST must be a number"),
        (lambda: env.networks("X_TEST"), "::ffff:10.0.0.1", "X_TEST: write ::ffff:"),
        (lambda: env.address("X_TEST", ""), "127.0.0.1:80", "X_TEST must be an IP address or a host name"),
        (lambda: env.address("X_TEST", ""), "http://x", "X_TEST must be an IP address or a host name"),
        (lambda: env.address("X_TEST", ""), "[::1]", "X_TEST must be an IP address or a host name"),
        (lambda: env.hosts("X_TEST", []), ",", "X_TEST must be host names"),
        (lambda: env.hosts("X_TEST", []), "https://nms.example.org", "X_TEST must be host names"),
        (lambda: env.hosts("X_TEST", []), "nms.example.org:8000", "X_TEST must be host names"),
        (lambda: env.hosts("X_TEST", []), "*.example.org", "X_TEST must be host names"),
        (lambda: env.origins("X_TEST"), "abc", "X_TEST must be origins"),
        (lambda: env.origins("X_TEST"), "https://nms.example.org/path", "X_TEST must be origins"),
    ],
)
def test_bad_values_are_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, reader: Any, value: str, words: str
) -> None:
    monkeypatch.setenv("X_TEST", value)
    with pytest.raises(ImproperlyConfigured, match=words):
        reader()


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        (lambda: env.address("X_TEST", ""), "::"),
        (lambda: env.address("X_TEST", ""), "nms.example.org"),
        (lambda: env.hosts("X_TEST", []), "*,.example.org,nms,10.0.0.1,[::1]"),
        (lambda: env.origins("X_TEST"), "https://*.example.org:8443,http://[::1]:80"),
        (lambda: env.number("X_TEST", 1, low=0, high=9), "1.5e0"),
    ],
)
def test_good_values_are_taken(monkeypatch: pytest.MonkeyPatch, reader: Any, value: str) -> None:
    monkeypatch.setenv("X_TEST", value)
    assert reader()


def test_defaults_and_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert env.integer("X_TEST", 7, low=1, high=9) == 7
    monkeypatch.setenv("X_TEST", "  ")
    assert env.text("X_TEST", "default") == "default"
    assert env.boolean("X_TEST", True) is True
    assert env.items("X_TEST", ["a"]) == ["a"]


def test_a_value_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv("X_TEST_FILE", str(tmp_path / "secret"))
    assert env.text("X_TEST") == "from a file"
    monkeypatch.setenv("X_TEST", "itself")
    assert env.text("X_TEST") == "itself"


def test_a_file_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_TEST_FILE", "/nonexistent/secret")
    with pytest.raises(ImproperlyConfigured, match="X_TEST_FILE"):
        env.text("X_TEST")


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\xff\xfe", "not text in UTF-8"), (b" \n", "is empty"), (None, "must name a regular file")],
)
def test_a_file_that_is_no_text_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "value"
    if content is None:
        os.mkfifo(path)  # which would hold the start up
    else:
        path.write_bytes(content)
    monkeypatch.setenv("X_TEST_FILE", str(path))
    with pytest.raises(ImproperlyConfigured, match=f"X_TEST_FILE .*{words}"):
        env.text("X_TEST")


def test_a_file_behind_a_byte_order_mark(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "value").write_bytes(b"\xef\xbb\xbf7\r\n")
    monkeypatch.setenv("X_TEST_FILE", str(tmp_path / "value"))
    assert env.integer("X_TEST", 1, low=1, high=9) == 7


def test_an_unknown_setting_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NMS_BATCHSIZE", "5")
    monkeypatch.setenv("NMS_BATCH_SIZE_FILE", "")
    found = [message.msg for message in run_checks(tags=["nms"]) if message.id == "nms.W003"]
    assert found == ["NMS_BATCHSIZE is not a setting."]


def settings_module(**environment: str) -> "subprocess.CompletedProcess[str]":
    """A command that does nothing but read the settings."""
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "check", "--tag", "nms"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


BAD_DATABASE_URLS = (
    "mysql://h/n",
    "postgresql://u:p@h:abc/n",
    "postgresql://u:p@h:99999/n",
    "postgresql://u:p@h:0/n",
    "postgresql://u:pa/ss@h/n",
    "postgresql://u:p[@h/n",
    "postgresql://u:p@h/n?sslmod=require",
)
BAD_REDIS_URLS = (
    "abc",
    "http://h",
    "redis://h:abc/0",
    "redis://h/abc",
    "redis://h/-1",
    "redis://h?bogus=1",
    "redis://h?db=x",
    "redis://:pa/ss@h/0",
    "redis://:p[@h/0",
    "unix:",
    "redis+socket:///x",
    "sentinel://h:0/m",
    "sentinel://h:99999/m",
    "sentinel://h/m?db=x",
)


@pytest.mark.parametrize(
    ("name", "url"),
    [("DATABASE_URL", url) for url in BAD_DATABASE_URLS] + [("REDIS_URL", url) for url in BAD_REDIS_URLS],
)
def test_a_bad_url_stops_the_start_in_one_line_without_its_password(
    tmp_path: Path, name: str, url: str
) -> None:
    keys = {"NMS_SECRET_KEY": "s" * 32, "NMS_ENCRYPTION_KEYS": Fernet.generate_key().decode()}
    done = settings_module(NMS_STATE_DIR=str(tmp_path), **keys, **{name: url})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"{name}" in line
    assert "pa/ss" not in line
    assert "Traceback" not in done.stderr


# A value that each setting refuses. Other readers' own tests have more.
NUMBERS = [
    "PORT",
    "NMS_BATCH_SIZE",
    "NMS_CLAIM_LIMIT",
    "NMS_DEMO_WINRM_PORT",
    "NMS_DISCOVERY_THREADS",
    "NMS_FAILURE_THRESHOLD",
    "NMS_FAILURE_WINDOW_SECONDS",
    "NMS_FPING_COUNT",
    "NMS_FPING_INTERVAL_MS",
    "NMS_FPING_RETRIES",
    "NMS_FPING_TIMEOUT_MS",
    "NMS_JWT_ACCESS_MINUTES",
    "NMS_JWT_REFRESH_DAYS",
    "NMS_LOGIN_ATTEMPTS",
    "NMS_LOGIN_FAILURES",
    "NMS_LOGIN_WINDOW_SECONDS",
    "NMS_MAX_BACKLOG",
    "NMS_MAX_TARGETS",
    "NMS_PING_THREADS",
    "NMS_PLUGIN_IN_FLIGHT",
    "NMS_PLUGIN_SILENCE_SECONDS",
    "NMS_PLUGIN_TIMEOUT_SECONDS",
    "NMS_POLL_SHARDS",
    "NMS_POLL_THREADS",
    "NMS_QUERIES_PER_MINUTE",
    "NMS_READS_PER_MINUTE",
    "NMS_REQUEST_TIMEOUT_SECONDS",
    "NMS_RETENTION_1D_DAYS",
    "NMS_RETENTION_1H_DAYS",
    "NMS_RETENTION_5M_DAYS",
    "NMS_RETENTION_RUNS_DAYS",
    "NMS_RETENTION_SAMPLES_DAYS",
    "NMS_RETENTION_VERDICTS_DAYS",
    "NMS_STORE_THREADS",
    "NMS_TICK_SECONDS",
    "NMS_VISIBILITY_TIMEOUT_SECONDS",
    "NMS_WEB_PROCESSES",
    "NMS_WEB_THREADS",
    "NMS_WRITES_PER_MINUTE",
]
SWITCHES = ["NMS_ALLOW_UNREADABLE_SECRETS", "NMS_DEBUG", "NMS_HTTPS", "NMS_SUCCESS_RESETS_FAILURES"]
BAD = {
    **dict.fromkeys(NUMBERS, "1_0"),
    **dict.fromkeys(SWITCHES, "maybe"),
    "BIND": "127.0.0.1:80",
    "DATABASE_URL": "mysql://h/n",
    "NMS_ALLOWED_HOSTS": "https://nms.example.org",
    "NMS_CSRF_TRUSTED_ORIGINS": "nms.example.org",
    "NMS_ENCRYPTION_KEYS": "not;keys",
    "NMS_LOG_LEVEL": "LOUD",
    "NMS_PLUGINS_DIR": "/nonexistent/plugins",
    "NMS_PROMETHEUS_TOKEN": "tökén",
    "NMS_SECRET_KEY": "short",
    "NMS_STATIC_ROOT": "static",
    "NMS_TRUSTED_PROXIES": "10.0.0.5/8",
    "REDIS_URL": "http://h",
}
# Read by `prepare` and `demo` only, which have their own tests, and where any text is a good value.
NOT_REFUSED = {
    "DJANGO_SUPERUSER_USERNAME",
    "DJANGO_SUPERUSER_PASSWORD",
    "DJANGO_SUPERUSER_EMAIL",
    "NMS_FPING",  # checked by the workers that run it; see below
    "NMS_STATE_DIR",  # a path that may have to be made; see below
}


def test_all_bad_values_are_reported_at_once(tmp_path: Path) -> None:
    declared = {name for name in env.DECLARED if not name.startswith("X_")}
    assert declared - NOT_REFUSED <= BAD.keys(), "a new setting needs a bad value here"
    done = settings_module(NMS_STATE_DIR=str(tmp_path), **BAD)
    assert done.returncode == 1
    heading, *lines = done.stderr.splitlines()
    assert heading.endswith(f"{len(BAD)} settings are wrong.")
    named = [line.split()[0].rstrip(":") for line in lines]
    assert sorted(named) == sorted(BAD)
    assert "not;keys" not in done.stderr
    assert "short" not in done.stderr


@pytest.mark.parametrize("content", ["", "\n", "\x80"])
@pytest.mark.parametrize("name", ["secret-key", "encryption-keys", "endpoints.json"])
def test_a_damaged_file_of_the_state_directory_is_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="latin-1")
    done = settings_module(NMS_STATE_DIR=str(tmp_path))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / name) in line
    assert "damaged" in line


def test_a_key_file_that_holds_something_else_is_named(tmp_path: Path) -> None:
    (tmp_path / "encryption-keys").write_text("a password")
    done = settings_module(NMS_STATE_DIR=str(tmp_path))
    assert f"{tmp_path / 'encryption-keys'}: key 1 of 2 is not a Fernet key" in done.stderr
    assert "password" not in done.stderr


def test_a_state_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = settings_module(NMS_STATE_DIR=str(tmp_path / "file"))
    assert done.returncode == 1
    assert "NMS_STATE_DIR" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("separator", [",", "\n", " ", ", ", "\r\n"])
def test_keys_are_separated_by_commas_blanks_or_lines(
    monkeypatch: pytest.MonkeyPatch, separator: str
) -> None:
    keys = [Fernet.generate_key().decode() for _ in range(3)]
    monkeypatch.setenv("X_TEST", separator.join(keys))
    assert env.fernet_keys("X_TEST") == keys


def test_a_generated_secret_is_kept_and_private(tmp_path: Path) -> None:
    first = state.secret(tmp_path / "state", "key", lambda: "generated once")
    assert state.secret(tmp_path / "state", "key", lambda: "another") == first
    assert (tmp_path / "state" / "key").stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["key"]


def test_a_short_visibility_timeout_is_a_warning(settings: Any) -> None:
    settings.NMS_VISIBILITY_TIMEOUT_SECONDS = 30
    assert "nms.W001" in [message.id for message in run_checks()]


def test_embedded_servers_are_no_production(settings: Any) -> None:
    settings.NMS_EMBEDDED_REDIS = True
    assert "nms.E001" in [message.id for message in run_checks(include_deployment_checks=True)]


@pytest.mark.parametrize("queue", ["ping", "discovery"])
def test_a_worker_that_needs_fping_does_not_start_without_it(settings: Any, queue: str) -> None:
    settings.NMS_FPING = "/nonexistent/fping"
    with pytest.raises(CommandError, match="NMS_FPING must name a program"):
        call_command("worker", queue)
