"""Personal API tokens, and what ends the sessions of a user."""

from datetime import datetime

from django.conf import settings
from django.db import models

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


class TokenEpoch(models.Model):
    """Which of a user's JWTs count: those made in this epoch. A user without a row is in epoch 0."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True)
    epoch = models.PositiveIntegerField(default=0)
