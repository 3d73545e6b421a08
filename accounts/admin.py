"""The admin of users and API tokens."""

from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.forms import AdminPasswordChangeForm

from accounts.forms import AccountForm, ApiTokenForm, NewAccountForm, RoleField
from accounts.models import ApiToken, AuditEntry
from accounts.roles import Role, role_give, role_names
from accounts.sessions import sessions_end
from accounts.tokens import token_make, token_revoke
from nms_project.admin import ModelAdmin, ReadOnlyAdmin

admin.site.unregister(User)
admin.site.unregister(Group)
# Their pages show refresh tokens as they are: whoever saw one could use it.
admin.site.unregister(OutstandingToken)
admin.site.unregister(BlacklistedToken)


@admin.register(User)
class AccountAdmin(UserAdmin[User], ModelAdmin[User]):  # type: ignore[misc]  # two signatures of lookup_allowed
    """Nobody makes of anybody more than he is himself: only superusers work on superusers and single
    permissions, and others neither on who may more than they, nor give a role that may.
    """

    audited_as = ("user", "role of a user", "permission of a user", "sessions of a user")
    list_display = ("username", "role", "email", "is_active", "is_staff", "is_superuser", "last_login")
    actions = ("log_out",)
    form = AccountForm
    add_form = NewAccountForm
    change_password_form = AdminPasswordChangeForm
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "usable_password", "password1", "password2", "role", "is_staff"),
            },
        ),
    )
    fieldsets = (
        (None, {"fields": ("username", "password", "role", "is_staff", "is_active")}),
        ("Personal information", {"fields": ("first_name", "last_name", "email")}),
        ("More rights", {"fields": ("is_superuser", "groups", "user_permissions"), "classes": ("collapse",)}),
        ("Important dates", {"fields": ("last_login", "date_joined")}),
    )

    @admin.display
    def role(self, user: User) -> str:
        return ", ".join(name for name in Role.values if name in role_names(user)) or "–"

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        fixed = tuple(super().get_readonly_fields(request, obj))
        return fixed if request.user.is_superuser else (*fixed, "is_superuser", "user_permissions")

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if "role" in form.base_fields:
            # A new field: the declared one is shared by the forms of all threads.
            form.base_fields["role"] = RoleField(_roles_within(request.user))
        return form

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Set the role, which is not among the groups of the form. Groups that stay are not audited."""
        role = form.cleaned_data.get("role", "")
        if role and role not in _roles_within(request.user):
            raise PermissionDenied
        if "groups" in form.cleaned_data:
            roles = Group.objects.filter(user=form.instance, name__in=Role.values)
            form.cleaned_data["groups"] = [*form.cleaned_data["groups"], *roles]
        super().save_related(request, form, formsets, change)
        if "role" in form.cleaned_data:
            role_give(form.instance, role)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs["queryset"] = _groups_within(request.user).exclude(name__in=Role.values)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, set[Any], Any]:
        """What goes with a user needs no right of its own: tokens cannot be deleted by themselves."""
        shown, counts, needed, protected = super().get_deleted_objects(objs, request)
        return shown, counts, set(needed) - {ApiToken._meta.verbose_name}, protected

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Those that he may work on, one by one or in a batch."""
        found: QuerySet[User] = super().get_queryset(request).prefetch_related("groups")
        if request.user.is_superuser:
            return found
        beyond = _permissions_beyond(request.user)
        return found.filter(is_superuser=False).exclude(
            Q(user_permissions__in=beyond) | Q(groups__permissions__in=beyond)
        )

    @admin.action(description="Log out everywhere", permissions=["change"])
    def log_out(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            sessions_end(user)
        self.message_user(request, f"{len(queryset)} user(s) have to log in again.", messages.SUCCESS)


def _permissions_beyond(user: Any) -> QuerySet[Permission]:
    """Those that a user, who is no superuser, has not."""
    own = Permission.objects.filter(Q(user=user) | Q(group__user=user))
    return Permission.objects.exclude(pk__in=own)


def _roles_within(user: Any) -> list[str]:
    names = set(_groups_within(user).values_list("name", flat=True))
    return [role for role in Role.values if role in names]


def _groups_within(user: Any) -> QuerySet[Group]:
    """Those that may nothing that the user may not."""
    if user.is_superuser:
        return Group.objects.all()
    return Group.objects.exclude(permissions__in=_permissions_beyond(user))


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin[Group]):
    audited_as = ("role",)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    empty_text = "Changes that people make are recorded here."
    list_display = ("at", "actor", "source", "address", "action", "object_type", "object_name")
    list_filter = ("action", "object_type", "source")
    search_fields = ("object_name", "actor", "object_id")
    date_hierarchy = "at"


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin[ApiToken]):
    """Users make and revoke their own tokens. Those with the right to see other users' see all of them."""

    audited_as = ("API token",)
    empty_text = "A token lets a program use the API as you, with no more rights than its scope."
    list_display = ("name", "user", "scope", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("scope",)
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    actions = ("revoke",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiToken]:
        found, user = super().get_queryset(request), cast("User", request.user)
        return found if user.has_perm("accounts.view_apitoken") else found.filter(user=user)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return _is_of_the_staff(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _is_of_the_staff(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _is_of_the_staff(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # a token is made, used and revoked

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_form(
        self, request: HttpRequest, obj: ApiToken | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        kwargs["form"] = forms.ModelForm if obj else ApiTokenForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return self.list_display if obj else ("name", "scope", "expires_at")

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        fields = {name: form.cleaned_data[name] for name in ("name", "scope", "expires_at")}
        made, form.token = token_make(user=request.user, **fields)
        obj.pk, obj.user = made.pk, made.user

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        request.nms_token = form.token  # type: ignore[attr-defined]  # for the page that shows it

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the token on the answer itself: it must not be kept, not even for a redirect."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"API token {obj.name}",
            "token": request.nms_token,  # type: ignore[attr-defined]  # set by save_related
            "opts": self.opts,
        }
        answer = TemplateResponse(request, "admin/accounts/apitoken/made.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    @admin.action(description="Revoke", permissions=["view"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        user = cast("User", request.user)
        if not user.has_perm("accounts.change_apitoken"):
            queryset = queryset.filter(user=user)
        tokens = list(queryset)
        for token in tokens:
            token_revoke(token)
        self.message_user(request, f"{len(tokens)} token(s) are refused from now on.", messages.SUCCESS)


def _is_of_the_staff(request: HttpRequest) -> bool:
    return bool(request.user.is_active and request.user.is_staff)
