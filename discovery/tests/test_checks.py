"""Settings of discovery that do not fit together."""

from typing import Any

from django.core.checks import run_checks


def warned() -> bool:
    return "discovery.W001" in [message.id for message in run_checks()]


def test_a_sweep_that_outlasts_its_message_is_warned_of(settings: Any) -> None:
    assert not warned()
    settings.NMS_PLUGIN_TIMEOUT_SECONDS = 60
    assert warned()
    settings.NMS_VISIBILITY_TIMEOUT_SECONDS = 430
    assert not warned()
