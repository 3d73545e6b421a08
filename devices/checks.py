"""System checks of this app: keys that cannot work, plugins that cannot run."""

from typing import Any

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from devices.plugins import registry
from nms_project.checks import SETTINGS


@register(SETTINGS)
def check_encryption_keys(**_: Any) -> list[CheckMessage]:
    messages: list[CheckMessage] = []
    for position, key in enumerate(settings.NMS_ENCRYPTION_KEYS, start=1):
        try:
            Fernet(key.strip())
        except ValueError:  # the key itself must not be shown
            messages.append(
                Error(
                    f"NMS_ENCRYPTION_KEYS: key {position} is not a Fernet key.",
                    hint="Each must be 32 random bytes in URL-safe base64; see docs/settings.md.",
                    id="devices.E001",
                )
            )
    return messages


@register(SETTINGS)
def check_plugins(**_: Any) -> list[CheckMessage]:
    return [
        Warning(
            f"The plugin in {problem.folder} cannot be used: {problem.reason}",
            hint="Mend it or remove the folder. The other plugins work.",
            id="devices.W001",
        )
        for problem in registry().problems
    ]
