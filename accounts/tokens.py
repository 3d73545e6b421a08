"""Personal API tokens: made, found by their digest, revoked."""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import ApiToken
from nms_project.errors import OF_ALL_FIELDS, InvalidInput

DEFAULT_DAYS = 90  # that a token lives
MAX_DAYS = 366
BEYOND_LIMIT = f"Must lie within the next {MAX_DAYS} days."
MAX_TOKENS = 100  # that are valid, of one user
PREFIX = "nms_"  # so that scanners of source code find one that was committed
USED_RESOLUTION = timedelta(minutes=1)  # a busy client does not write a row with each request
TOKEN_FIELDS = ("id", "name", "scope", "created_at", "expires_at", "last_used_at", "revoked_at")
# As SQL: each request of the API asks, and making this of a queryset took a sixth of its time.
OWNER = """
SELECT auth_user.*, token.id AS token_id, token.name AS token_name, token.scope AS token_scope,
       token.created_at AS token_created_at, token.expires_at AS token_expires_at,
       token.last_used_at AS token_last_used_at, token.revoked_at AS token_revoked_at
FROM accounts_apitoken AS token JOIN auth_user ON auth_user.id = token.user_id
WHERE token.digest = %s AND auth_user.is_active
"""


def is_within_limit(expires_at: datetime) -> bool:
    """Return whether a token made now may end then."""
    now = timezone.now()
    return now < expires_at <= now + timedelta(days=MAX_DAYS)


@transaction.atomic
def token_make(*, user: Any, name: str, scope: str, expires_at: datetime) -> tuple[ApiToken, str]:
    """The row, and the token itself, which is known at this moment only. Raises InvalidInput where the user
    has MAX_TOKENS.
    """
    get_user_model().objects.select_for_update().get(pk=user.pk)  # one at a time, or there would be too many
    valid = ApiToken.objects.filter(user=user, revoked_at=None, expires_at__gt=timezone.now())
    if valid.count() >= MAX_TOKENS:
        words = f"You have {MAX_TOKENS} valid tokens already. Revoke one first."
        raise InvalidInput({OF_ALL_FIELDS: [words]})
    text = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken.objects.create(
        user=user, name=name, scope=scope, expires_at=expires_at, digest=_digest(text)
    )
    return row, text


def token_find(text: str) -> ApiToken | None:
    """The valid token of an active user; notes that it is used."""
    now = timezone.now()
    users = get_user_model()._default_manager.raw(OWNER, [_digest(text)])
    user: Any = next(iter(users), None)
    if user is None:
        return None
    token = ApiToken(user=user, **{name: getattr(user, f"token_{name}") for name in TOKEN_FIELDS})
    if not token.is_valid(now):
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
