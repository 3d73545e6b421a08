"""Every route × every role: who is let in. A route without a row here fails the test."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts.roles import Role
from accounts.sessions import SESSION_CLAIM, session_claim
from accounts.tokens import token_make

pytestmark = pytest.mark.django_db
ANYBODY, LOGIN = "anybody", "login"
VIEWER, OPERATOR, ADMIN = Role.VIEWER.value, Role.OPERATOR.value, Role.ADMIN.value
ORDER = [LOGIN, VIEWER, OPERATOR, ADMIN]
# {name of the route: {method: the least role}}; LOGIN is a user without any role.
MATRIX: dict[str, dict[str, str]] = {
    "api-root": {"GET": LOGIN},
    "login": {"POST": ANYBODY},
    "token": {"POST": ANYBODY},
    "token-refresh": {"POST": ANYBODY},
    "token-blacklist": {"POST": ANYBODY},
    "token-verify": {"POST": ANYBODY},
    "me": {"GET": LOGIN},
    "logout-everywhere": {"POST": LOGIN},
    "api-token-list": {"GET": LOGIN, "POST": LOGIN},
    "api-token-detail": {"GET": LOGIN, "DELETE": LOGIN},
    "schema": {"GET": ANYBODY},
    "docs": {"GET": ANYBODY},
    "redoc": {"GET": ANYBODY},
    "plugin-list": {"GET": LOGIN},
    "plugin-detail": {"GET": LOGIN},
    "audit-list": {"GET": ADMIN},
    "audit-detail": {"GET": ADMIN},
    "audit-export": {"GET": ADMIN},
    "credential-list": {"GET": VIEWER, "POST": ADMIN},
    "credential-detail": {"GET": VIEWER, "PUT": ADMIN, "PATCH": ADMIN, "DELETE": ADMIN},
    "credential-export": {"GET": VIEWER},
    "credential-import": {"POST": ADMIN},
    "credential-test": {"POST": OPERATOR},
    "discovery-profile-list": {"GET": VIEWER, "POST": OPERATOR},
    "discovery-profile-detail": {"GET": VIEWER, "PUT": OPERATOR, "PATCH": OPERATOR, "DELETE": OPERATOR},
    "discovery-profile-export": {"GET": VIEWER},
    "discovery-profile-import": {"POST": OPERATOR},
    "discovery-profile-run": {"POST": OPERATOR},
    "discovery-run-list": {"GET": VIEWER},
    "discovery-run-detail": {"GET": VIEWER},
    "discovery-run-results": {"GET": VIEWER},
    "device-list": {"GET": VIEWER, "POST": OPERATOR},
    "device-detail": {"GET": VIEWER, "PUT": OPERATOR, "PATCH": OPERATOR, "DELETE": OPERATOR},
    "device-export": {"GET": VIEWER},
    "device-import": {"POST": OPERATOR},
    "device-provision-many": {"POST": OPERATOR},
    "device-deactivate-many": {"POST": OPERATOR},
    "device-set-interval-many": {"POST": OPERATOR},
    "device-set-credential-many": {"POST": OPERATOR},
    "device-delete-many": {"POST": OPERATOR},
    "device-provision": {"POST": OPERATOR},
    "device-forget": {"POST": OPERATOR},
    "device-poll": {"POST": OPERATOR},
    "device-metrics": {"GET": VIEWER},
    "device-samples": {"GET": VIEWER},
    "device-verdicts": {"GET": VIEWER},
    "device-availability": {"GET": VIEWER},
    "device-explain": {"GET": VIEWER},
    "device-ping": {"GET": VIEWER},
    "deletion-list": {"GET": VIEWER},
    "deletion-detail": {"GET": VIEWER},
    "metric-query": {"POST": VIEWER},
    "metric-paths": {"GET": VIEWER},
    "metric-top": {"POST": VIEWER},
    "metric-export": {"GET": VIEWER},
    "metric-prometheus": {"GET": VIEWER},
    "completeness": {"GET": VIEWER},
    "scheduler": {"GET": VIEWER},
    "history": {"GET": VIEWER},
    "system-metrics": {"GET": VIEWER},
}
# Those an API token never opens, whatever its scope.
INTERACTIVE = {"logout-everywhere", "api-token-list", "api-token-detail"}
# Django's own pages, which log in by session and ask for Django's permissions.
PAGES = re.compile(r"admin/|api-auth/|$")


def routes() -> Iterator[tuple[str, str, set[str]]]:
    """(name, path with ids filled in, methods) of every route that is the API's."""

    def walk(patterns: list[Any], prefix: str) -> Iterator[tuple[str, str, set[str]]]:
        for pattern in patterns:
            here = prefix + str(pattern.pattern).lstrip("^")
            if isinstance(pattern, URLResolver):
                if not PAGES.match(here) or here == "":
                    yield from walk(pattern.url_patterns, here)
            elif isinstance(pattern, URLPattern) and not PAGES.match(here) and "format" not in here:
                yield str(pattern.name), _filled(here), _methods(pattern.callback)

    yield from walk(get_resolver().url_patterns, "")


def _filled(pattern: str) -> str:
    path = re.sub(r"\(\?P<\w+>(?:[^()]|\([^()]*\))*\)", "999999", pattern)
    return "/" + path.replace("/?$", "").replace("$", "").replace("\\Z", "").replace("/?", "")


def _methods(callback: Any) -> set[str]:
    actions = getattr(callback, "actions", None)
    if actions:
        return {method.upper() for method in actions} - {"HEAD"}
    names = ("get", "post", "put", "patch", "delete")
    return {name.upper() for name in names if hasattr(callback.view_class, name)}


def cases() -> list[Any]:
    found = {}
    for name, path, methods in routes():
        for method in methods:
            found[name, method] = (name, path, method)
    return [pytest.param(*case, id=f"{key[0]} {key[1]}") for key, case in sorted(found.items())]


def test_every_route_has_its_row_and_every_row_its_route() -> None:
    there = {(case.values[0], case.values[2]) for case in cases()}
    assert there == {(name, method) for name, row in MATRIX.items() for method in row}


def person(role: str) -> Any:
    user = get_user_model().objects.create_user(f"somebody-{role}")
    if role != LOGIN:
        user.groups.add(Group.objects.get(name=role))
    return user


def bearer(text: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
    return client


def access(user: Any, **claims: Any) -> str:
    token = AccessToken.for_user(user)
    token[SESSION_CLAIM] = session_claim(user)
    for name, value in claims.items():
        token[name] = value
    return str(token)


def status(client: APIClient, path: str, method: str) -> int:
    return int(client.generic(method, path, "{}", content_type="application/json").status_code)


@pytest.mark.parametrize(("name", "path", "method"), cases())
def test_who_is_let_in(name: str, path: str, method: str) -> None:
    least = MATRIX[name][method]
    expired = access(person("login"), exp=int((timezone.now() - timedelta(hours=1)).timestamp()))
    if least == ANYBODY:
        assert status(APIClient(), path, method) != 403
        return
    assert status(APIClient(), path, method) == 401
    assert status(bearer(expired), path, method) == 401
    assert status(bearer("nms_unknown"), path, method) == 401
    for role in ORDER:
        user = get_user_model().objects.get(username="somebody-login") if role == LOGIN else person(role)
        is_enough = ORDER.index(role) >= ORDER.index(least)
        found = status(bearer(access(user)), path, method)
        assert (found not in {401, 403}) == is_enough, (role, found)
        assert found < 500


@pytest.mark.parametrize(("name", "path", "method"), cases())
def test_the_scope_of_an_api_token_is_its_bound(name: str, path: str, method: str) -> None:
    least = MATRIX[name][method]
    if least == ANYBODY:
        return
    user = person(ADMIN)
    expires_at = timezone.now() + timedelta(days=1)
    for scope in ORDER[1:]:
        _, text = token_make(user=user, name=scope, scope=scope, expires_at=expires_at)
        is_enough = ORDER.index(scope) >= ORDER.index(least) and name not in INTERACTIVE
        found = status(bearer(text), path, method)
        assert (found not in {401, 403}) == is_enough, (scope, found)
