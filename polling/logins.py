"""How often a login is tried: so seldom that no account is ever locked by us.

An account is a user name on one host, or a domain's user name wherever it is used. Of one account at most
NMS_LOGIN_ATTEMPTS logins are refused within NMS_LOGIN_WINDOW_SECONDS: a try counts as refused until it is
known otherwise, so that a sweep over a network with a wrong password stops after as many hosts. A secret that
was accepted lately is not held up. The state lies in Redis, for all workers together, and is changed by two
scripts only.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from django.conf import settings

from nms_project.redis_client import redis_client
from plugins.contract import ErrorCode, Result, Task

_LUA = Path(__file__).parent / "lua"
ADMIT = (_LUA / "logins_admit.lua").read_text(encoding="utf-8")
SETTLE = (_LUA / "logins_settle.lua").read_text(encoding="utf-8")
PENDING_SLACK_SECONDS = 10  # beyond a task's own timeout, until its result is settled

# A login that got as far as this was accepted; of other failures nobody knows.
ACCEPTED = frozenset({ErrorCode.SCRIPT})


@dataclass(frozen=True, slots=True)
class Admission:
    """The tasks that may run now, those that wait for the tries under way, and those of accounts left alone,
    with the seconds for which they still are.
    """

    go: list[Task]
    wait: list[Task]
    paused: dict[str, int]


def logins_admit(tasks: Sequence[Task]) -> Admission:
    """Raises redis.RedisError when Redis is away. A task without a user name has no account that could
    be locked.
    """
    guarded = [task for task in tasks if _account(task) is not None]
    answers: dict[str, int] = dict.fromkeys((task.request_id for task in tasks), 1)
    if guarded:
        life = max(task.timeout_seconds for task in guarded) + PENDING_SLACK_SECONDS
        found = redis_client().eval(
            ADMIT,
            3 * len(guarded),
            *(key for task in guarded for key in _keys(task)),
            settings.NMS_LOGIN_ATTEMPTS,
            settings.NMS_LOGIN_WINDOW_SECONDS,
            life,
            *(task.request_id for task in guarded),
        )
        answers |= {task.request_id: int(answer) for task, answer in zip(guarded, found, strict=True)}
    return Admission(
        go=[task for task in tasks if answers[task.request_id] > 0],
        wait=[task for task in tasks if answers[task.request_id] == 0],
        paused={request_id: -answer for request_id, answer in answers.items() if answer < 0},
    )


def logins_settle(tasks: Mapping[str, Task], results: Sequence[Result]) -> None:
    """`tasks` by request id. Raises redis.RedisError when Redis is away: tries then count until they are
    forgotten.
    """
    guarded = [
        (tasks[result.request_id], result)
        for result in results
        if _account(tasks[result.request_id]) is not None
    ]
    if guarded:
        redis_client().eval(
            SETTLE,
            3 * len(guarded),
            *(key for task, _ in guarded for key in _keys(task)),
            settings.NMS_LOGIN_WINDOW_SECONDS,
            *(word for task, result in guarded for word in (task.request_id, _outcome(result))),
        )


def _outcome(result: Result) -> str:
    if result.success or result.error_code in ACCEPTED:
        return "accepted"
    return "refused" if result.error_code is ErrorCode.AUTH else "unknown"


def _account(task: Task) -> str | None:
    """A domain locks its account everywhere, a host's own account is locked there alone."""
    name = task.credentials.get("username")
    if not isinstance(name, str) or not name:
        return None
    domain = str(task.credentials.get("domain") or "")
    if domain or "\\" in name or "@" in name:
        return f"{domain}\\{name}".lower()
    return f"{task.target} {name}".lower()


def _keys(task: Task) -> tuple[str, str, str]:
    """Neither names nor secrets stand in a key; digests are keyed, so that none can be guessed from Redis."""
    account = _digest(str(_account(task)).encode())
    secret = _digest(orjson.dumps(dict(task.credentials), option=orjson.OPT_SORT_KEYS))
    return (
        f"nms:logins:{account}:refused",
        f"nms:logins:{account}:pending",
        f"nms:logins:{account}:accepted:{secret}",
    )


def _digest(value: bytes) -> str:
    key = hashlib.sha256(settings.SECRET_KEY.encode()).digest()
    return hashlib.blake2b(value, key=key, digest_size=16).hexdigest()
