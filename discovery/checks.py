"""System checks of discovery: settings that are allowed one by one and do not fit together."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from discovery.services import MAX_FALLBACKS
from discovery.sweep import START_WITHIN_SECONDS
from nms_project.checks import SETTINGS
from polling.runner import GRACE_SECONDS


@register(SETTINGS)
def check_sweep_time(**_: Any) -> list[CheckMessage]:
    """A part of a run whose message comes back while it is worked on is swept twice."""
    each = settings.NMS_PLUGIN_TIMEOUT_SECONDS + GRACE_SECONDS
    longest = START_WITHIN_SECONDS + (1 + MAX_FALLBACKS) * each
    if longest <= settings.NMS_VISIBILITY_TIMEOUT_SECONDS:
        return []
    text = f"A part of a discovery run may take {longest:.0f} s, and its message is back before."
    hint = f"NMS_VISIBILITY_TIMEOUT_SECONDS={longest + 60:.0f}, or a lower NMS_PLUGIN_TIMEOUT_SECONDS."
    return [Warning(text, hint=hint, id="discovery.W001")]
