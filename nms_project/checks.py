"""System checks over several settings at once."""

import os
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning

from nms_project import env

LONGEST_TASK_SECONDS = 120  # of polling; those of discovery are checked by discovery/checks.py
# Of tests and benchmarks.
NOT_OF_THE_PRODUCT = frozenset({"NMS_TEST_STATE_DIR", "NMS_SCREENSHOTS", "NMS_BENCH_SAMPLES"})
SETTINGS = "nms"  # the tag of checks of settings, ours alone: what a worker and beat check too


@register(SETTINGS)
def check_visibility_timeout(**_: Any) -> list[CheckMessage]:
    """A message that comes back while its task still runs is worked on twice."""
    if settings.NMS_VISIBILITY_TIMEOUT_SECONDS >= LONGEST_TASK_SECONDS:
        return []
    return [
        CheckWarning(
            f"NMS_VISIBILITY_TIMEOUT_SECONDS is {settings.NMS_VISIBILITY_TIMEOUT_SECONDS}, "
            f"shorter than the longest task ({LONGEST_TASK_SECONDS} s).",
            hint="Messages may be worked on twice; nothing is stored twice. Use it in tests only.",
            id="nms.W001",
        )
    ]


@register(SETTINGS)
def check_unknown_settings(**_: Any) -> list[CheckMessage]:
    """A name with a typing error would otherwise do nothing, in silence."""
    known = env.DECLARED | {f"{name}_FILE" for name in env.DECLARED} | NOT_OF_THE_PRODUCT
    unknown = sorted(name for name in os.environ if name.startswith("NMS_") and name not in known)
    return [
        CheckWarning(f"{name} is not a setting.", hint="docs/settings.md lists all settings.", id="nms.W003")
        for name in unknown
    ]


@register(deploy=True)
def check_production_servers(**_: Any) -> list[CheckMessage]:
    if not (settings.NMS_EMBEDDED_POSTGRES or settings.NMS_EMBEDDED_REDIS):
        return []
    return [
        Error(
            "The embedded PostgreSQL or Redis is in use.",
            hint="Set DATABASE_URL and REDIS_URL in production.",
            id="nms.E001",
        )
    ]
