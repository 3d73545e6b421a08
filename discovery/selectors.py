"""Reads of discovery: runs with their progress, which is always a count over the results."""

from django.db.models import Count, Q, QuerySet

from discovery.models import DiscoveryRun, Outcome, RunStatus


def runs_with_progress() -> QuerySet[DiscoveryRun]:
    """Runs annotated with done, found, created and failed, newest first: grouping forgets the model's
    order.
    """
    return DiscoveryRun.objects.annotate(
        done=Count("results"),
        found=Count("results", filter=~Q(results__outcome=Outcome.FAILED)),
        created=Count("results", filter=Q(results__outcome=Outcome.CREATED)),
        failed=Count("results", filter=Q(results__outcome=Outcome.FAILED)),
    ).order_by("-id")


def runs_open() -> QuerySet[DiscoveryRun]:
    """Those that wait or are under way, with progress and profile."""
    is_open = (RunStatus.QUEUED, RunStatus.RUNNING)
    return runs_with_progress().filter(status__in=is_open).select_related("profile")
