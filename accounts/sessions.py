"""What ends sessions: a changed password, logging out everywhere, a refresh token that is used twice.

Each JWT carries a claim made of its user's epoch and password; both tokens of a pair stop counting at the
moment one of them changes.
"""

import hmac
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.models import RotatedToken, TokenEpoch

SESSION_CLAIM = "session"
# As SQL: each request of the API asks, and making this of a queryset took a tenth of its time.
SESSION_USER = """
SELECT auth_user.*, accounts_tokenepoch.epoch
FROM auth_user LEFT JOIN accounts_tokenepoch ON accounts_tokenepoch.user_id = auth_user.id
WHERE auth_user.id = %s AND auth_user.is_active
"""
SESSION_ENDED = "The session was ended, or the password was changed: log in again."


def session_claim(user: Any) -> str:
    """What the JWTs of a login that the user makes now carry."""
    epoch = TokenEpoch.objects.filter(user_id=user.pk).values_list("epoch", flat=True).first()
    return _claim(epoch, user.password)


def session_user(claims: Mapping[str, Any]) -> Any | None:
    """The active user whose session a genuine JWT with these claims belongs to; None if it has been ended, or
    the user is switched off or deleted.
    """
    found = get_user_model()._default_manager.raw(SESSION_USER, [claims.get(api_settings.USER_ID_CLAIM)])
    user: Any = next(iter(found), None)
    if user is None:
        return None
    counts = hmac.compare_digest(str(claims.get(SESSION_CLAIM)), _claim(user.epoch, user.password))
    return user if counts else None


def _claim(epoch: int | None, password: str) -> str:
    secret = salted_hmac("nms.accounts.session", f"{epoch or 0}:{password}", algorithm="sha256")
    return secret.hexdigest()[:32]


@transaction.atomic
def sessions_end(user: Any) -> None:
    """All JWTs of the user and all logins of a browser; API tokens are revoked one by one."""
    locked = TokenEpoch.objects.select_for_update()
    row, is_new = locked.get_or_create(user_id=user.pk, defaults={"epoch": 1})
    if not is_new:
        row.epoch += 1
        row.save()
    for session in Session.objects.filter(expire_date__gt=timezone.now()):
        if session.get_decoded().get(SESSION_KEY) == str(user.pk):
            session.delete()


def sessions_prune() -> int:
    """Tokens that have expired need not be remembered as used."""
    count, _ = OutstandingToken.objects.filter(expires_at__lte=timezone.now()).delete()
    RotatedToken.objects.filter(expires_at__lte=timezone.now()).delete()
    Session.objects.filter(expire_date__lte=timezone.now()).delete()
    return count
