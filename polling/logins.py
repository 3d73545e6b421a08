"""How often a login is tried: so seldom that no account is locked by us.

An account is a user name on one host for one protocol, or a domain's user name wherever it is used. Of one
account at most NMS_LOGIN_ATTEMPTS logins are refused within NMS_LOGIN_WINDOW_SECONDS: a try counts as refused
until it is known otherwise, so that a sweep over a network with a wrong password stops after as many hosts. A
secret that was accepted lately is not held up, once this worker has seen it accepted, too: a worker that has
just started holds no sessions, and begins with a few. A host that never accepted the secret is counted by
itself as long as others accept it.

The state lies in Redis, for all workers together, and is changed by two scripts only. What is left: logins
that are under way when the first refusal comes still reach their hosts.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from django.conf import settings

from nms_project.redis_client import lua_script, redis_client
from plugins.contract import ErrorCode, Result, Task
from plugins.registry import Plugin

_LUA = Path(__file__).parent / "lua"
ADMIT = lua_script(_LUA / "logins_admit.lua")
SETTLE = lua_script(_LUA / "logins_settle.lua")
PENDING_SLACK_SECONDS = 10  # beyond a task's own timeout, until its result is settled

# Whatever failed to run was let in first. Other failures show nothing, unless the plugin reports it.
ACCEPTED = frozenset({ErrorCode.SCRIPT})


# What this process has seen accepted; guarded by the interpreter's lock, and wrong entries cost a few tries
# more.
_seen: set[str] = set()
MAX_SEEN = 100_000


@dataclass(frozen=True, slots=True)
class Admission:
    """The tasks that may run now, those that wait for the tries under way, and those of accounts left alone,
    with the seconds for which they still are.
    """

    go: list[Task]
    wait: list[Task]
    paused: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Attempt:
    task: Task
    account: str  # digests, as the next two
    host: str  # the account on this host
    secret: str

    def redis_keys(self) -> tuple[str, ...]:
        """As the scripts want them. Neither names nor secrets stand in a key."""
        account, host = f"nms:logins:{self.account}", f"nms:logins:{self.host}"
        return (
            f"{account}:refused",
            f"{account}:pending",
            f"{account}:accepted:{self.secret}",
            f"{host}:refused_here",
            f"{host}:accepted_here:{self.secret}",
        )

    @property
    def mark(self) -> str:
        return self.account + self.secret


def logins_admit(plugin: Plugin, tasks: Sequence[Task], *, start_within_seconds: float = 0.0) -> Admission:
    """Raises redis.RedisError when Redis is away. What has no account that could be locked may always go."""
    attempts = _attempts(plugin, tasks)
    answers: dict[str, int] = dict.fromkeys((task.request_id for task in tasks), 1)
    if attempts:
        timeout = max(attempt.task.timeout_seconds for attempt in attempts)
        found = ADMIT(
            keys=_keys(attempts),
            args=[
                settings.NMS_LOGIN_ATTEMPTS,
                settings.NMS_LOGIN_WINDOW_SECONDS,
                start_within_seconds + timeout + PENDING_SLACK_SECONDS,
                *(word for one in attempts for word in (one.task.request_id, int(one.mark in _seen))),
            ],
            client=redis_client(),
        )
        answers |= {one.task.request_id: int(answer) for one, answer in zip(attempts, found, strict=True)}
    return Admission(
        go=[task for task in tasks if answers[task.request_id] > 0],
        wait=[task for task in tasks if answers[task.request_id] == 0],
        paused={request_id: -answer for request_id, answer in answers.items() if answer < 0},
    )


def logins_settle(plugin: Plugin, tasks: Mapping[str, Task], results: Sequence[Result]) -> None:
    """`tasks` by request id; one without a result was not tried, and is under way no longer. Raises
    redis.RedisError when Redis is away: tries then count until they are forgotten.
    """
    outcomes = dict.fromkeys(tasks, "unknown") | {result.request_id: _outcome(result) for result in results}
    attempts = _attempts(plugin, list(tasks.values()))
    if not attempts:
        return
    answers = SETTLE(
        keys=_keys(attempts),
        args=[
            settings.NMS_LOGIN_WINDOW_SECONDS,
            *(
                word
                for one in attempts
                for word in (one.task.request_id, outcomes[one.task.request_id], one.secret)
            ),
        ],
        client=redis_client(),
    )
    for attempt, is_wrong in zip(attempts, answers, strict=True):
        if is_wrong:
            _seen.discard(attempt.mark)
        elif outcomes[attempt.task.request_id] == "accepted" and len(_seen) < MAX_SEEN:
            _seen.add(attempt.mark)


def _keys(attempts: Sequence[_Attempt]) -> list[str]:
    return [key for attempt in attempts for key in attempt.redis_keys()]


def _outcome(result: Result) -> str:
    if not result.was_attempted:
        return "unknown"
    if result.success or result.is_login_accepted or result.error_code in ACCEPTED:
        return "accepted"
    return "refused" if result.error_code is ErrorCode.AUTH else "unknown"


def _attempts(plugin: Plugin, tasks: Sequence[Task]) -> list[_Attempt]:
    if not plugin.locks_accounts:
        return []
    found = []
    for task in tasks:
        account = account_of(plugin.id, task)
        if account is not None:
            secret = orjson.dumps(dict(task.credentials), option=orjson.OPT_SORT_KEYS)
            host = f"{account} on {task.target}"
            found.append(_Attempt(task, _digest(account.encode()), _digest(host.encode()), _digest(secret)))
    return found


def account_of(plugin_id: str, task: Task) -> str | None:
    """The account a login is for, in one spelling; None where there is no user name.

    `domain`, DOMAIN\\user and user@domain.example are a domain's, which locks it everywhere; `.` is the host
    itself.
    """
    name = task.credentials.get("username")
    if not isinstance(name, str) or not name.strip():
        return None
    domain, user = str(task.credentials.get("domain") or ""), name
    if "\\" in name:
        domain, _, user = name.partition("\\")
    elif "@" in name:
        user, _, domain = name.rpartition("@")
    # CORP and corp.example are told apart by nobody from here: their first words are taken for the same
    # domain.
    domain = domain.strip().casefold().partition(".")[0]
    user = user.strip().casefold()
    return f"{domain}\\{user}" if domain else f"{plugin_id} {task.target} {user}"


def _digest(value: bytes) -> str:
    key = hashlib.sha256(settings.SECRET_KEY.encode()).digest()
    return hashlib.blake2b(value, key=key, digest_size=16).hexdigest()
