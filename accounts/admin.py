"""The admin of users and API tokens."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
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
class AccountAdmin(UserAdmin[User], ModelAdmin[User]):
    """Nobody makes of anybody more than a role: only superusers work on superusers and single permissions."""

    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    actions = ("log_out",)
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        fixed = tuple(super().get_readonly_fields(request, obj))
        return fixed if request.user.is_superuser else (*fixed, "is_superuser", "user_permissions")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, set[Any], Any]:
        """What goes with a user needs no right of its own: tokens cannot be deleted by themselves."""
        shown, counts, needed, protected = super().get_deleted_objects(objs, request)
        return shown, counts, set(needed) - {ApiToken._meta.verbose_name}, protected

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """What cannot be touched one by one cannot be deleted in a batch either."""
        found: QuerySet[User] = super().get_queryset(request)
        return found if request.user.is_superuser else found.filter(is_superuser=False)

    @admin.action(description="Log out everywhere", permissions=["change"])
    def log_out(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        for user in queryset:
            sessions_end(user)
        self.message_user(request, f"{len(queryset)} user(s) have to log in again.", messages.SUCCESS)


def _may_touch(request: HttpRequest, obj: User | None) -> bool:
    return obj is None or not obj.is_superuser or bool(request.user.is_superuser)


@admin.register(Group)
class RoleAdmin(GroupAdmin, ModelAdmin[Group]):
    pass


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "source", "address", "action", "object_type", "object_name")
    list_filter = ("action", "object_type", "source")
    search_fields = ("object_name", "actor", "object_id")
    date_hierarchy = "at"


@admin.register(ApiToken)
class ApiTokenAdmin(ModelAdmin[ApiToken]):
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
