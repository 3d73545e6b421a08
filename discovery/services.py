"""Discovery runs: started, cut into chunks by a cursor, taken up again when they stall, and ended once.

A run never depends on one message: chunks may be handed out twice, results are unique by address, and
whatever is lost is handed out again by `runs_resume`.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta

from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Coalesce, Now
from kombu.exceptions import OperationalError as BrokerError

from devices.models import CredentialProfile, port_error
from devices.services import protocols_require
from discovery.models import (
    DiscoveryProfile,
    DiscoveryResult,
    DiscoveryRun,
    FallbackCredential,
    RunStatus,
)
from discovery.targets import target_check
from nms_project.errors import Conflict, InvalidInput
from nms_project.queues import Queue
from polling.backlog import queue_lengths

logger = logging.getLogger(__name__)

CHUNK_ADDRESSES = 256  # with one credential; each further one may take as long again
MAX_FALLBACKS = 4
TOO_MANY_FALLBACKS = f"At most {MAX_FALLBACKS} further credentials can be tried."
CHUNKS_IN_FLIGHT = 4  # of one run, so that a large run leaves workers for others
STALLED_AFTER = timedelta(seconds=150)  # longer than a sweep may go without a result


def run_start(profile: DiscoveryProfile) -> DiscoveryRun:
    """Queues a run over the profile's target. Raises InvalidTarget, and Conflict when it was deleted."""
    target = target_check(profile.target, settings.NMS_MAX_TARGETS)
    with transaction.atomic():
        if not profile_lock(profile.pk):
            raise Conflict(f"The discovery profile {profile.name!r} was deleted.")
        run = DiscoveryRun.objects.create(profile=profile, target=profile.target, total=target.total)
        transaction.on_commit(lambda: _dispatch_or_leave(run.pk))
    return run


def profile_lock(profile_id: int) -> bool:
    """Until the transaction ends; False when there is no such profile.

    Everybody who writes what refers to a profile locks it first: such rows point at it, at each other and at
    devices, and whoever began with another of them would wait for a delete that waits for them.
    """
    locked = DiscoveryProfile.objects.select_for_update(no_key=True).filter(pk=profile_id)
    return locked.values_list("pk", flat=True).first() is not None


@transaction.atomic
def profile_delete(*, profile_id: int) -> bool:
    """With its runs and their results. False when there is no such profile; raises ProtectedError while
    devices refer to it.
    """
    profile = DiscoveryProfile.objects.select_for_update().filter(pk=profile_id).first()
    if profile is None:
        return False
    profile.delete()
    return True


@transaction.atomic
def fallbacks_set(profile: DiscoveryProfile, credentials: Sequence[CredentialProfile]) -> None:
    """The credentials to try, in this order, on hosts that refuse the profile's own."""
    profile.fallback_credentials.all().delete()
    FallbackCredential.objects.bulk_create(
        FallbackCredential(profile=profile, credential_profile=credential, position=position)
        for position, credential in enumerate(credentials)
    )


def fallbacks_check(own: CredentialProfile, fallbacks: Sequence[CredentialProfile]) -> None:
    """Raises InvalidInput."""
    error = ""
    if len(fallbacks) > MAX_FALLBACKS:
        error = TOO_MANY_FALLBACKS
    elif len({own.pk, *(credential.pk for credential in fallbacks)}) <= len(fallbacks):
        error = "Each credential can be tried once, and the profile's own is tried first."
    elif any(credential.protocol != own.protocol for credential in fallbacks):
        error = f"All must be for {own.protocol!r}, as the profile's own credential is."
    if error:
        raise InvalidInput({"fallback_credential_profile_ids": [error]})


def credentials_settle(profile: DiscoveryProfile, given: Sequence[CredentialProfile | None]) -> None:
    """What was given to a profile, checked as it was read, fits what others made of it and of the profile
    meanwhile. To be called once the profile is written, and so locked. Raises Conflict.
    """
    current = DiscoveryProfile.objects.get(pk=profile.pk)
    own, *fallbacks = current.credential_profiles()
    try:
        fallbacks_check(own, fallbacks)
    except InvalidInput as error:
        raise Conflict(f"The profile's credentials were changed meanwhile. {error.words}") from None
    if port_error(own.protocol, current.port):
        raise Conflict("The profile's port or credential was changed meanwhile. Try again.")
    protocols_require({(each.pk, each.protocol) for each in given if each})


def chunk_next(run_id: int) -> range | None:
    """Moves the cursor over the next chunk and returns it as indexes into the target; None when nothing is
    left.
    """
    with transaction.atomic():
        locked = DiscoveryRun.objects.select_for_update(of=("self",)).select_related("profile")
        run = locked.filter(pk=run_id).first()
        if run is None or run.status not in (RunStatus.QUEUED, RunStatus.RUNNING) or run.cursor >= run.total:
            return None
        size = CHUNK_ADDRESSES // (1 + run.profile.fallback_credentials.count())
        chunk = range(run.cursor, min(run.cursor + size, run.total))
        DiscoveryRun.objects.filter(pk=run_id).update(
            cursor=chunk.stop,
            status=RunStatus.RUNNING,
            started_at=Coalesce("started_at", Now()),
            progressed_at=Now(),
        )
    return chunk


def run_finish(run_id: int) -> bool:
    """Ends the run if every address has its result; of several callers one does it."""
    done = DiscoveryResult.objects.filter(run_id=run_id).count()
    finished = DiscoveryRun.objects.filter(pk=run_id, status=RunStatus.RUNNING, total__lte=done)
    return bool(finished.update(status=RunStatus.DONE, finished_at=Now()))


def run_fail(run_id: int, reason: str) -> None:
    """Ends the run early, with what it has found so far."""
    open_run = DiscoveryRun.objects.filter(pk=run_id, status__in=[RunStatus.QUEUED, RunStatus.RUNNING])
    open_run.update(status=RunStatus.FAILED, finished_at=Now(), error=reason[:500])


def runs_resume() -> int:
    """Hands out again what runs without progress have left; returns how many were taken up."""
    if any(queue_lengths([Queue.DISCOVERY]).values()):
        return 0  # the workers are busy: what waits in the queue is not lost
    stalled = DiscoveryRun.objects.filter(
        status__in=[RunStatus.QUEUED, RunStatus.RUNNING], progressed_at__lt=Now() - STALLED_AFTER
    )
    taken = 0
    for run_id in stalled.values_list("pk", flat=True):
        if run_finish(run_id):
            continue
        # A conditional update: of two beats one takes the run up.
        if stalled.filter(pk=run_id).update(cursor=0, progressed_at=Now()):
            _dispatch(run_id)
            taken += 1
    return taken


def runs_prune() -> int:
    """Deletes what ended long ago, with its results; returns how many runs. Their devices stay."""
    keep = timedelta(days=settings.NMS_RETENTION_RUNS_DAYS)
    old = DiscoveryRun.objects.filter(finished_at__lt=Now() - keep).order_by("pk")
    ids = list(old.values_list("pk", flat=True))
    for run_id in ids:
        with transaction.atomic():
            DiscoveryResult.objects.filter(run_id=run_id).delete()
            DiscoveryRun.objects.filter(pk=run_id).delete()
    return len(ids)


def _dispatch_or_leave(run_id: int) -> None:
    """With the broker away the run stays queued; `runs_resume` takes it up."""
    try:
        _dispatch(run_id)
    except BrokerError as error:
        logger.warning("run %d waits for the broker: %s", run_id, error)


def _dispatch(run_id: int) -> None:
    for _ in range(CHUNKS_IN_FLIGHT):
        chunk_dispatch(run_id)


def chunk_dispatch(run_id: int) -> None:
    """Sends the next chunk, if there is one, to the discovery workers."""
    chunk = chunk_next(run_id)
    if chunk is not None:
        current_app.send_task("discovery.sweep", args=[run_id, chunk.start, chunk.stop])
