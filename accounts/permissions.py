"""Whether a request may do what it asks for: the one rule of the API.

Each view says what it needs. Those of a model need Django's permission for it by their method, and for each
of their further actions what `action_needs` says; the others say it in `needs`. A view that says nothing
answers nobody.
"""

from typing import Any, ClassVar

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.audit import acting
from accounts.models import ApiToken
from accounts.roles import PERMISSIONS

A_LOGIN = ""  # for `needs`: whoever is logged in
BY_METHOD = {
    "GET": "view",
    "HEAD": "view",
    "OPTIONS": "view",
    "POST": "add",
    "PUT": "change",
    "PATCH": "change",
    "DELETE": "delete",
}


def permission_needed(view: Any, method: str) -> str | None:
    """The permission, A_LOGIN, or None where the view does not say."""
    needs: str | None = getattr(view, "needs", None)
    if needs is not None:
        return needs
    action = getattr(view, "action", None)
    special: dict[str, str] = getattr(view, "action_needs", {})
    if action in special:
        return special[action]
    queryset = getattr(view, "queryset", None)
    is_standard = action in {
        None,
        "list",
        "retrieve",
        "create",
        "update",
        "partial_update",
        "destroy",
        "metadata",
    }
    if queryset is None or not is_standard or method not in BY_METHOD:
        return None
    meta = queryset.model._meta
    return f"{meta.app_label}.{BY_METHOD[method]}_{meta.model_name}"


def is_allowed(user: Any, auth: Any, permission: str) -> bool:
    """`auth` is what the request was authenticated by: an API token allows no more than its scope."""
    if not user or not user.is_authenticated:
        return False
    if permission == A_LOGIN:
        return True
    if isinstance(auth, ApiToken) and permission not in PERMISSIONS[auth.scope]:
        return False
    return bool(user.has_perm(permission))


class RolePermission(BasePermission):
    message: ClassVar[str]

    def has_permission(self, request: Request, view: Any) -> bool:
        if request.method not in view.allowed_methods:
            return bool(request.user and request.user.is_authenticated)  # 405 comes next
        needed = permission_needed(view, request.method or "")
        if needed is None:
            return False
        self.message = f"This needs the permission {needed}."  # type: ignore[misc]  # of this request
        allowed = is_allowed(request.user, request.auth, needed)
        if allowed and ".view_" not in needed:
            acting(request._request, request.user, request.auth)
        return allowed


class InteractivePermission(BasePermission):
    """Not with an API token: one that leaked must not make others, or end what would end it."""

    message = "An API token cannot do this: log in with a password."

    def has_permission(self, request: Request, view: Any) -> bool:
        if not (request.user and request.user.is_authenticated) or isinstance(request.auth, ApiToken):
            return False
        acting(request._request, request.user, request.auth)
        return True
