"""System checks of this app: plugins that cannot run."""

from typing import Any

from django.core.checks import CheckMessage, Warning, register

from devices.plugins import registry
from nms_project.checks import SETTINGS


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
