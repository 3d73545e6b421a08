"""Settings from the environment: a bad value is refused with its name and the remedy."""

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from nms_project import env, state


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
        (lambda: env.number("X_TEST", 1, low=0, high=9), "nan", "X_TEST must be from 0 to 9"),
        (lambda: env.number("X_TEST", 1, low=0, high=9), "x", "X_TEST must be a number"),
        (lambda: env.boolean("X_TEST", True), "maybe", "X_TEST must be true or false"),
        (lambda: env.networks("X_TEST"), "10.0.0.5,10.0.0.0/99", "X_TEST: '10.0.0.0/99' does not appear"),
        (lambda: env.networks("X_TEST"), "10.0.0.5/8", "X_TEST: 10.0.0.5/8 has host bits set"),
        (lambda: env.choice("X_TEST", "A", ["A", "B"]), "C", "X_TEST must be one of A, B"),
    ],
)
def test_bad_values_are_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, reader: Any, value: str, words: str
) -> None:
    monkeypatch.setenv("X_TEST", value)
    with pytest.raises(ImproperlyConfigured, match=words):
        reader()


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
