"""System checks of polling: settings that are allowed one by one and do not fit together."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from nms_project.checks import LONGEST_TASK_SECONDS, SETTINGS
from polling.claim import PING_LEASE_SECONDS
from polling.fping import options_from_settings


@register(SETTINGS)
def check_fping_time(**_: Any) -> list[CheckMessage]:
    """A batch nobody answers must be through before its leases end, and long before its message is back."""
    options = options_from_settings()
    hint = "Lower NMS_BATCH_SIZE or NMS_FPING_INTERVAL_MS, _RETRIES, _COUNT or _TIMEOUT_MS."
    if options.deadline_seconds(settings.NMS_BATCH_SIZE) > LONGEST_TASK_SECONDS:
        return [
            Error(
                f"A ping batch may take longer than {LONGEST_TASK_SECONDS} s.", hint=hint, id="polling.E001"
            )
        ]
    expected = options.expected_seconds(settings.NMS_BATCH_SIZE)
    if expected > PING_LEASE_SECONDS:
        text = f"A ping batch may take {expected:.0f} s, but a lease has {PING_LEASE_SECONDS} s for it."
        return [Warning(text, hint=hint, id="polling.W001")]
    return []
