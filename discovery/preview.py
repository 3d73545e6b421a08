"""What a profile would come to, before it is saved: how many addresses, which of them others have, how long a
run takes.
"""

from dataclasses import dataclass

from django.conf import settings

from devices.models import CredentialProfile
from discovery.errors import InvalidTarget
from discovery.models import DiscoveryProfile, DiscoveryRun, RunStatus
from discovery.targets import target_check, target_parse

RUNS_COMPARED = 5
MAX_PROFILES = 1_000  # that are compared; in the order of their names


@dataclass(frozen=True, slots=True)
class Overlap:
    profile_id: int
    name: str
    addresses: int


@dataclass(frozen=True, slots=True)
class Preview:
    """`seconds` by what the newest `runs` of the same kind took for each address; None before the first."""

    total: int
    overlaps: list[Overlap]
    seconds: float | None
    runs: int


def preview(
    text: str, *, credential: CredentialProfile | None, ping_first: bool, profile_id: int | None
) -> Preview:
    """Of a target as it is typed; `profile_id` is the profile it is typed for, which does not overlap with
    itself. Raises InvalidTarget.
    """
    target = target_check(text, settings.NMS_MAX_TARGETS)
    overlaps = []
    others = DiscoveryProfile.objects.exclude(pk=profile_id or 0).order_by("name")
    for pk, name, other in others.values_list("pk", "name", "target")[:MAX_PROFILES]:
        try:
            addresses = target.common(target_parse(other))
        except InvalidTarget:  # stored by rules of before
            continue
        if addresses:
            overlaps.append(Overlap(pk, name, addresses))
    seconds, runs = _pace(credential, ping_first)
    return Preview(target.total, overlaps, None if seconds is None else seconds * target.total, runs)


def _pace(credential: CredentialProfile | None, ping_first: bool) -> tuple[float | None, int]:
    """Seconds for each address in the newest runs with the same protocol, and how many runs that were."""
    if credential is None:
        return None, 0
    done = DiscoveryRun.objects.filter(
        status=RunStatus.DONE,
        total__gt=0,
        profile__ping_first=ping_first,
        profile__credential_profile__protocol=credential.protocol,
    ).order_by("-id")
    took = seconds = addresses = 0.0
    for started, finished, total in done.values_list("started_at", "finished_at", "total")[:RUNS_COMPARED]:
        if started and finished:
            took, seconds = took + 1, seconds + (finished - started).total_seconds()
            addresses += total
    return (seconds / addresses, int(took)) if took else (None, 0)
