"""What ends sessions: a changed password, logging out everywhere, a refresh token that is used twice.

Each JWT carries a claim made of its user's epoch and password; both tokens of a pair stop counting at the
moment one of them changes.
"""

import hmac
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.models import Session
from django.db import transaction
from django.utils import timezone
from django.utils.crypto import salted_hmac
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from accounts.models import RotatedToken, TokenEpoch

SESSION_CLAIM = "session"
SESSION_ENDED = "The session was ended, or the password was changed: log in again."


def session_claim(user: Any) -> str:
    epoch = TokenEpoch.objects.filter(user_id=user.pk).values_list("epoch", flat=True).first() or 0
    return salted_hmac("nms.accounts.session", f"{epoch}:{user.password}", algorithm="sha256").hexdigest()[
        :32
    ]


def session_counts(claims: Mapping[str, Any], user: Any) -> bool:
    """Whether a JWT with these claims belongs to a session that has not been ended."""
    return hmac.compare_digest(str(claims.get(SESSION_CLAIM)), session_claim(user))


@transaction.atomic
def sessions_end(user: Any) -> None:
    """All JWTs of the user and all logins of a browser; API tokens are revoked one by one."""
    TokenEpoch.objects.get_or_create(user_id=user.pk)
    row = TokenEpoch.objects.select_for_update().get(user_id=user.pk)
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
