"""What a client did wrong gets a page of the project's own, and one line in the log."""

import logging

import pytest
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory
from django.urls import reverse

from nms_project.logs import WithoutTraceback
from nms_project.views import bad_request, permission_denied, server_error

pytestmark = pytest.mark.django_db


def test_a_wrong_host_is_400_without_a_traceback(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    answer = client.get("/admin/", headers={"host": "evil.example"})
    assert answer.status_code == 400
    assert "Bad request" in answer.content.decode()
    (record,) = [record for record in caplog.records if record.name.startswith("django.security")]
    assert not record.exc_info
    assert "evil.example" in record.getMessage()


def test_a_wrong_host_of_the_api_is_400_in_json(client: Client) -> None:
    answer = client.get("/api/v1/devices", headers={"host": "evil.example"})
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, 400)


def test_a_page_that_a_role_may_not_see_says_so(client: Client) -> None:
    viewer = User.objects.create_user("viewer", password="p", is_staff=True)
    viewer.groups.add(Group.objects.get(name="viewer"))
    client.force_login(viewer)
    answer = client.get(reverse("admin:auth_user_changelist"))
    assert answer.status_code == 403
    assert "Your role does not allow this." in answer.content.decode()


def test_a_page_that_is_not_there(client: Client) -> None:
    answer = client.get("/nothing-here")
    assert answer.status_code == 404
    assert "Page not found" in answer.content.decode()


@pytest.mark.parametrize("path", ["/admin/", "/api/v1/devices"])
def test_the_pages_need_no_login_and_no_database(path: str) -> None:
    request = RequestFactory().get(path)
    assert server_error(request).status_code == 500
    assert bad_request(request, Exception()).status_code == 400
    assert permission_denied(request, PermissionDenied()).status_code == 403


@pytest.mark.parametrize(("status", "keeps"), [(403, False), (404, False), (500, True), (None, True)])
def test_only_faults_of_the_server_keep_their_traceback(status: int | None, keeps: bool) -> None:
    record = logging.LogRecord(
        "django.request", logging.ERROR, "", 1, "text", (), (ValueError, ValueError(), None)
    )
    if status is not None:
        record.status_code = status
    assert WithoutTraceback().filter(record)
    assert (record.exc_info is not None) is keeps
