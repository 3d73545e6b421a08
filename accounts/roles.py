"""The roles: groups of Django's with these permissions. Everything that asks who may do what asks here.

An installation may change its groups, or make others; what is given here is what a new one begins with, and
what bounds the scope of an API token.
"""

from typing import Any

from django.db import models


class Role(models.TextChoices):
    VIEWER = "viewer", "viewer: sees everything but secrets"
    OPERATOR = "operator", "operator: works with devices and discovery"
    ADMIN = "admin", "admin: credentials, users and parked messages too"


def _all(app: str, model: str) -> set[str]:
    return {f"{app}.{what}_{model}" for what in ("view", "add", "change", "delete")}


VIEWER = frozenset(
    {
        "devices.view_credentialprofile",  # its name; the secret is shown to nobody
        "devices.view_deletion",
        "devices.view_device",
        "devices.view_statuschange",
        "discovery.view_discoveryprofile",
        "discovery.view_discoveryresult",
        "discovery.view_discoveryrun",
        "metrics.view_sample",
        "polling.view_verdict",
    }
)
OPERATOR = VIEWER | {
    *_all("devices", "device"),
    "devices.use_credentialprofile",
    *_all("discovery", "discoveryprofile"),
    "discovery.add_discoveryrun",
}
ADMIN = OPERATOR | {
    *_all("devices", "credentialprofile"),
    *_all("auth", "user"),
    "auth.view_group",
    "accounts.view_apitoken",
    "accounts.view_auditentry",
    "accounts.change_apitoken",
    "polling.view_parkedmessage",
    "polling.delete_parkedmessage",
}
PERMISSIONS: dict[str, frozenset[str]] = {
    Role.VIEWER: VIEWER,
    Role.OPERATOR: frozenset(OPERATOR),
    Role.ADMIN: frozenset(ADMIN),
}


def roles_make() -> None:
    """The groups that are not there yet. One that is keeps what an administrator made of it."""
    from django.contrib.auth.models import Group, Permission

    names = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    for role, wanted in PERMISSIONS.items():
        group, is_new = Group.objects.get_or_create(name=role)
        if is_new:
            # A permission may be missing while an older state of the database is migrated through.
            group.permissions.set(names[name] for name in wanted if name in names)


def role_names(user: Any) -> set[str]:
    """Return the roles that a user has; more than one only where groups were given by other means."""
    if user.pk is None:
        return set()
    return {group.name for group in user.groups.all()} & set(Role.values)


def role_give(user: Any, role: str) -> None:
    """Give a user this role in place of any other, or none for ""; other groups stay."""
    from django.contrib.auth.models import Group

    user.groups.remove(*Group.objects.filter(name__in=set(Role.values) - {role}))
    if role:
        user.groups.add(Group.objects.get(name=role))
