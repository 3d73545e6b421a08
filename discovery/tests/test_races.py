"""Changes that fit what was read, and not each other: one of both is refused."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction

from devices.credentials import credential_update
from devices.models import CredentialProfile, Device
from devices.services import device_create
from discovery.api.serializers import DiscoveryProfileSerializer
from discovery.models import DiscoveryProfile
from nms_project.errors import Conflict, InvalidInput

pytestmark = pytest.mark.usefixtures("committed")


def add_device(credential: CredentialProfile) -> None:
    device_create(
        hostname="x", ip_address="127.20.4.1", plugin_id="winrm", port=5985, credential_profile=credential
    )


def add_discovery(credential: CredentialProfile) -> None:
    fields = {"name": "net", "target": "127.20.4.0/24", "credential_profile_id": credential.pk}
    form = DiscoveryProfileSerializer(data=fields)
    form.is_valid(raise_exception=True)
    form.validated_data["credential_profile"].protocol = "winrm"  # as it was read
    form.save()


def become_icmp(credential: CredentialProfile) -> None:
    credential_update(credential, protocol="icmp")


class Rival(threading.Thread):
    """Does something in a transaction of its own; it waits where that waits."""

    def __init__(self, what: Callable[[CredentialProfile], None], credential: CredentialProfile) -> None:
        super().__init__(daemon=True)
        self.what, self.credential = what, credential
        self.error: Any = None

    def run(self) -> None:
        try:
            with transaction.atomic():
                self.what(self.credential)
        except (Conflict, InvalidInput) as error:
            self.error = error
        finally:
            connection.close()


@pytest.mark.parametrize("use", [add_device, add_discovery])
def test_who_begins_to_use_it_first_keeps_its_protocol(
    winrm_credential: CredentialProfile, use: Callable[[CredentialProfile], None]
) -> None:
    with transaction.atomic():
        use(winrm_credential)
        rival = Rival(become_icmp, winrm_credential)
        rival.start()
        rival.join(0.5)
        assert rival.is_alive()
    rival.join(20)
    assert isinstance(rival.error, InvalidInput)
    winrm_credential.refresh_from_db()
    assert winrm_credential.protocol == "winrm"


@pytest.mark.parametrize("use", [add_device, add_discovery])
def test_who_comes_after_the_change_is_refused(
    winrm_credential: CredentialProfile, use: Callable[[CredentialProfile], None]
) -> None:
    with transaction.atomic():
        become_icmp(winrm_credential)
        rival = Rival(use, CredentialProfile.objects.get(pk=winrm_credential.pk))
        rival.credential.protocol = "winrm"
        rival.start()
        rival.join(0.5)
        assert rival.is_alive()
    rival.join(20)
    assert isinstance(rival.error, Conflict)
    assert not Device.objects.exists()
    assert not DiscoveryProfile.objects.exists()


def credential(protocol: str) -> CredentialProfile:
    return CredentialProfile.objects.create(name=protocol, protocol=protocol, encrypted_payload=protocol)


def test_fallbacks_and_another_credential_at_once(winrm_credential: CredentialProfile) -> None:
    profile = DiscoveryProfile.objects.create(
        name="net", target="127.20.4.1", port=5985, credential_profile=winrm_credential
    )
    fallback = CredentialProfile.objects.create(name="b", protocol="winrm", encrypted_payload="x")
    forms = [
        DiscoveryProfileSerializer(DiscoveryProfile.objects.get(), data=fields, partial=True)
        for fields in (
            {"credential_profile_id": credential("ssh").pk},
            {"fallback_credential_profile_ids": [fallback.pk]},
        )
    ]
    for form in forms:
        form.is_valid(raise_exception=True)
    forms[0].save()
    with pytest.raises(Conflict, match="All must be for 'ssh'"):
        forms[1].save()
    assert not profile.fallback_credentials.exists()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"protocol": "snmp", "encrypted_payload": "for snmp"}, {"encrypted_payload": "for winrm"}),
        ({"encrypted_payload": "for winrm"}, {"protocol": "snmp"}),
        (
            {"protocol": "snmp", "encrypted_payload": "for snmp"},
            {"protocol": "winrm", "name": "a PUT that keeps the secret"},
        ),
    ],
)
def test_a_protocol_and_a_payload_of_two_requests(
    winrm_credential: CredentialProfile, first: dict[str, Any], second: dict[str, Any]
) -> None:
    credential_update(CredentialProfile.objects.get(), **first)
    with pytest.raises(Conflict):
        credential_update(winrm_credential, **second)


def test_two_payloads_for_one_protocol_follow_each_other(winrm_credential: CredentialProfile) -> None:
    for payload in ("a", "b"):
        credential_update(winrm_credential, protocol="winrm", encrypted_payload=payload)
    credential_update(winrm_credential, protocol="winrm", name="kept")
    stored = CredentialProfile.objects.get()
    assert (stored.name, stored.encrypted_payload) == ("kept", "b")
