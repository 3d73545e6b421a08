"""What pages of the admin share."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from django.apps import apps
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import FieldError, ObjectDoesNotExist, PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, ProgrammingError, models
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from nms_project.errors import InvalidInput, NMSError

if TYPE_CHECKING:  # unfold has no types; its classes are Django's with another look
    from django.contrib.admin import ModelAdmin as LookedModelAdmin
    from django.contrib.admin import TabularInline
    from django.contrib.admin.views.main import ChangeList as LookedChangeList
else:
    from unfold.admin import ModelAdmin as LookedModelAdmin
    from unfold.admin import TabularInline
    from unfold.views import ChangeList as LookedChangeList

__all__ = ["ChangeList", "ModelAdmin", "ReadOnlyAdmin", "TabularInline"]

Row = TypeVar("Row", bound=models.Model)
HISTORY_ENTRIES = 200  # of an object, the newest

# What Django's filters of a field put behind its name.
OF_A_FILTER = ("exact", "isnull", "id__exact")
OF_A_DATE_HIERARCHY = ("year", "month", "day")
# What a filter that cannot be raises, by Django, psycopg or PostgreSQL.
UNUSABLE = (
    DataError,
    FieldError,
    InvalidInput,
    OverflowError,
    ProgrammingError,
    TypeError,
    ValidationError,
    ValueError,
)


class ChangeList(LookedChangeList):
    """A filter that cannot be (a broken regular expression, a NUL, no address, a day after the last) shows
    the list without filters, as Django has it for those that it sees itself.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        try:
            super().__init__(*arguments, **named)
        except UNUSABLE as error:
            raise IncorrectLookupParameters(error) from error


class ModelAdmin(LookedModelAdmin[Row]):
    linked_lookups: ClassVar[Sequence[str]] = ()  # of links to the list, beside those of its filters
    # An empty list explains its purpose and links to the next step: the name of a URL, and a label.
    empty_text: ClassVar[str] = ""
    next_step: ClassVar[tuple[str, str] | None] = None
    # Which types of objects of the audit the page *History* shows, the model's own first.
    audited_as: ClassVar[Sequence[str]] = ()

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Allow the lookups of the list's filters and links alone.

        Django allows any of the model's own columns, so users that can see the list could guess what it does
        not show: a ciphertext, or the hash of a password or token.
        """
        filters = self.get_list_filter(request) if request is not None else self.list_filter
        allowed = {*self.linked_lookups}
        for item in filters:
            name = item[0] if isinstance(item, list | tuple) else item
            if isinstance(name, str):
                allowed |= {name, *(f"{name}__{ending}" for ending in OF_A_FILTER)}
            else:
                allowed.add(getattr(name, "parameter_name", ""))
        if self.date_hierarchy:
            allowed |= {f"{self.date_hierarchy}__{part}" for part in OF_A_DATE_HIERARCHY}
        return lookup in allowed

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show the audit's entries of the object, instead of the changes made in the admin only."""
        if not self.audited_as:
            return super().history_view(request, object_id, extra_context)
        shown = self.get_object(request, unquote(object_id))
        if shown is None:
            answer: HttpResponse = self._get_obj_does_not_exist_redirect(  # type: ignore[attr-defined]
                request, self.opts, object_id
            )
            return answer
        if not self.has_view_or_change_permission(request, shown):
            raise PermissionDenied
        may_see = request.user.has_perm("accounts.view_auditentry")
        found = apps.get_model("accounts", "AuditEntry")._default_manager.filter(
            object_type__in=self.audited_as, object_id=str(shown.pk)
        )
        entries: list[Any] = list(found[:HISTORY_ENTRIES]) if may_see else []
        for entry in entries:
            entry.changes = _changes(entry.before or {}, entry.after or {})
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {shown}",
            "entries": entries,
            "may_see": may_see,
            "is_cut": len(entries) == HISTORY_ENTRIES,
            "main": self.audited_as[0],
            "opts": self.opts,
            "object": shown,
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/audit_history.html", context)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        view = super().changeform_view
        return self._told(request, lambda: view(request, *args, **kwargs))

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        view = super().delete_view
        return self._told(request, lambda: view(request, *args, **kwargs))

    def _told(self, request: HttpRequest, view: Callable[[], HttpResponse]) -> HttpResponse:
        """What nobody could know before it was saved, such as what another did meanwhile, is said on the page
        that was sent; the API has answers for the same errors.
        """
        try:
            return view()
        except (NMSError, ObjectDoesNotExist, IntegrityError) as error:
            if request.method != "POST":
                raise
            self.message_user(request, _words(error), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ChangeList

    def response_action(  # type: ignore[override]  # the stubs are of a later Django
        self, request: HttpRequest, queryset: QuerySet[Row]
    ) -> HttpResponse | None:
        try:
            for text in request.POST.getlist(ACTION_CHECKBOX_NAME):
                self.opts.pk.to_python(text)
        except ValidationError:
            self.message_user(request, "What was selected is no row of this list.", messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset)


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(field, before, after) as the audit has them."""
    names = sorted(before.keys() | after.keys())
    return [(name, _shown(before.get(name)), _shown(after.get(name))) for name in names]


def _shown(value: Any) -> str:
    return "–" if value in (None, "") else str(value)


def _words(error: Exception) -> str:
    if isinstance(error, NMSError):
        return f"Nothing was done. {error}"
    if isinstance(error, ObjectDoesNotExist):
        return "Nothing was done: it was deleted meanwhile."
    return "Nothing was done: it was changed meanwhile, or something refers to it or has the same values now."


class ReadOnlyAdmin(ModelAdmin[Any]):
    """Rows to be looked at, which nobody makes, changes or deletes here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
