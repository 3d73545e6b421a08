"""Views of the list of devices that were saved under a name."""

from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import QueryDict

from console.models import SavedView
from nms_project.errors import InvalidInput

MAX_VIEWS = 50
NOT_OF_A_VIEW = ("p", "e", "all", "_popup", "_to_field", "_changelist_filters")


def query_of(sent: QueryDict) -> str:
    """What a view is of a list's query string: without the page."""
    kept = sent.copy()
    for name in NOT_OF_A_VIEW:
        kept.pop(name, None)
    return kept.urlencode()


def views_of(user: Any) -> QuerySet[SavedView]:
    """One's own, and those that others share."""
    return SavedView.objects.filter(Q(user=user) | Q(is_shared=True))[: 2 * MAX_VIEWS]


@transaction.atomic
def view_save(user: Any, name: str, query: str, *, is_shared: bool) -> SavedView:
    """A view of that name is replaced. Raises InvalidInput."""
    name = name.strip()
    if not name or len(name) > 64 or "\0" in name:
        raise InvalidInput({"name": ["A view needs a name of at most 64 characters."]})
    if "%00" in query:
        raise InvalidInput({"query": ["These filters contain a NUL."]})
    if len(query) > 2_000:
        raise InvalidInput({"query": ["These filters are too long to be kept."]})
    get_user_model().objects.select_for_update().get(pk=user.pk)  # one at a time, or there would be too many
    own = SavedView.objects.filter(user=user)
    if own.exclude(name=name).count() >= MAX_VIEWS:
        raise InvalidInput({"name": [f"You have {MAX_VIEWS} views already. Forget one first."]})
    view, _ = SavedView.objects.update_or_create(
        user=user, name=name, defaults={"query": query, "is_shared": is_shared}
    )
    return view


def view_forget(user: Any, name: str) -> None:
    """Nothing happens where there is none of that name."""
    if "\0" not in name:  # PostgreSQL's text cannot have one
        SavedView.objects.filter(user=user, name=name).delete()
