"""The admin of users and API tokens."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from accounts.models import ApiToken, AuditEntry
from accounts.sessions import sessions_end
from accounts.tokens import token_revoke
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

    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    actions = ("log_out",)
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        fixed = tuple(super().get_readonly_fields(request, obj))
        return fixed if request.user.is_superuser else (*fixed, "is_superuser", "user_permissions")

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "groups":
            kwargs["queryset"] = _roles_within(request.user)
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, set[Any], Any]:
        """What goes with a user needs no right of its own: tokens cannot be deleted by themselves."""
        shown, counts, needed, protected = super().get_deleted_objects(objs, request)
        return shown, counts, set(needed) - {ApiToken._meta.verbose_name}, protected

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Those that he may work on, one by one or in a batch."""
        found: QuerySet[User] = super().get_queryset(request)
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


def _roles_within(user: Any) -> QuerySet[Group]:
    """Those that may nothing that the user may not."""
    if user.is_superuser:
        return Group.objects.all()
    return Group.objects.exclude(permissions__in=_permissions_beyond(user))


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin[Group]):
    pass


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    empty_text = "Changes that people make are recorded here."
    list_display = ("at", "actor", "source", "address", "action", "object_type", "object_name")
    list_filter = ("action", "object_type", "source")
    search_fields = ("object_name", "actor", "object_id")
    date_hierarchy = "at"


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin[ApiToken]):
    empty_text = "Users make tokens for programs that use the API."
    list_display = ("name", "user", "scope", "created_at", "expires_at", "last_used_at", "revoked_at")
    list_filter = ("scope",)
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    actions = ("revoke",)
    readonly_fields = list_display

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False  # the token would have to be shown: users make their own

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        for token in queryset:
            token_revoke(token)
        self.message_user(request, f"{len(queryset)} token(s) are refused from now on.", messages.SUCCESS)
