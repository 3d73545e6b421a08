"""Fixtures of the metrics tests."""

import pytest

from devices.models import CredentialProfile, Device
from polling.tests.conftest import winrm_device


@pytest.fixture
def three(winrm_credential: CredentialProfile) -> list[Device]:
    """Active devices."""
    return [winrm_device(winrm_credential, last) for last in range(1, 4)]
