"""Personal API tokens: made, found by their digest, revoked."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from accounts.models import ApiToken

PREFIX = "nms_"  # so that scanners of source code find one that was committed
USED_RESOLUTION = timedelta(minutes=1)  # a busy client does not write a row with each request


def token_make(*, user: Any, name: str, scope: str, expires_at: datetime) -> tuple[ApiToken, str]:
    """The row, and the token itself, which is known at this moment only."""
    text = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        user=user, name=name, scope=scope, expires_at=expires_at, digest=_digest(text)
    )
    return row, text


def token_find(text: str) -> ApiToken | None:
    """The valid token of an active user; notes that it is used."""
    now = timezone.now()
    try:
        token = ApiToken.objects.select_related("user").get(digest=_digest(text))
    except ApiToken.DoesNotExist:
        return None
    if not token.is_valid(now) or not token.user.is_active:
        return None
    stale = Q(last_used_at=None) | Q(last_used_at__lt=now - USED_RESOLUTION)
    if token.last_used_at is None or token.last_used_at < now - USED_RESOLUTION:
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now)
    return token


def token_revoke(token: ApiToken) -> None:
    ApiToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now())


def _digest(text: str) -> str:
    """Without a salt: 256 random bits are not guessed, and it has to be found."""
    return hashlib.sha256(text.encode()).hexdigest()
