"""Personal API tokens, and what ends the sessions of a user."""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from accounts.roles import Role


class ApiToken(models.Model):
    """A token for programs. Only its digest is stored; `scope` is the most that can be done with it, whatever
    more its user may do.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=128)
    digest = models.CharField(max_length=64, unique=True, editable=False)  # SHA-256: the token is random
    scope = models.CharField(max_length=16, choices=Role.choices, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} of {self.user}"

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and now < self.expires_at


class AuditEntry(models.Model):
    """One change of one object: by whom, from where, before and after. Triggers of the database write it, so
    that no way to change something can forget to, and nothing changes it afterwards.

    `before` and `after` have the changed fields of a change, all of them of something made or deleted;
    secrets are masked.
    """

    class Action(models.TextChoices):
        CREATE = "create", "create"
        CHANGE = "change", "change"
        DELETE = "delete", "delete"

    at = models.DateTimeField(db_default=Now())
    actor_id = models.BigIntegerField(null=True)  # no foreign key: a deleted user stays who it was
    actor = models.CharField(max_length=150)  # "" for the system itself
    source = models.CharField(max_length=32)  # api, admin, "token 7", or system
    address = models.CharField(max_length=64)
    action = models.CharField(max_length=8, choices=Action.choices)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=64)
    object_name = models.CharField(max_length=255)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [
            models.Index(fields=["object_type", "object_id"], name="auditentry_object"),
            models.Index(fields=["at"], name="auditentry_at"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.object_type} {self.object_name}"


class RotatedToken(models.Model):
    """A refresh token that was used. Unlike one that was logged out, it comes back only if two have it."""

    jti = models.CharField(max_length=255, primary_key=True)
    at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()


class TokenEpoch(models.Model):
    """Which of a user's JWTs count: those made in this epoch. A user without a row is in epoch 0."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True)
    epoch = models.PositiveIntegerField(default=0)
