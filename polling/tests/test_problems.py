"""What is wrong now, of more devices than are shown."""

from datetime import timedelta

import pytest

from devices.models import CredentialProfile, PollState
from devices.services import database_now
from polling.models import VerdictKind
from polling.problems import problems_now
from polling.tests.conftest import winrm_device

pytestmark = pytest.mark.usefixtures("committed")


def test_all_that_fail_are_counted_and_both_ends_are_the_ends(winrm_credential: CredentialProfile) -> None:
    now = database_now()
    devices = [winrm_device(winrm_credential, last) for last in range(1, 8)]
    PollState.objects.update(last_verdict=VerdictKind.TIMEOUT, last_due_at=now)
    for hours, device in enumerate(devices[:-1], 1):
        PollState.objects.filter(device=device).update(newest_sample_at=now - timedelta(hours=3 * hours))
    found = problems_now(now, limit=2)
    assert found.total == 7
    assert [problem.device_id for problem in found.newest] == [devices[0].pk, devices[1].pk]
    assert [problem.device_id for problem in found.longest] == [devices[6].pk, devices[5].pk]
    assert [problem.since for problem in found.longest] == [None, now - timedelta(hours=18)]
