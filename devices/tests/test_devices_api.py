"""/api/v1/devices: creation, immutability, defaults, provisioning."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from devices.api.serializers import DeviceSerializer
from devices.models import CredentialProfile, Device, DeviceStatus, PollState
from devices.services import database_now, device_create, device_remember, device_update

URL = "/api/v1/devices"
pytestmark = pytest.mark.django_db


def body(credential: CredentialProfile, **fields: Any) -> dict[str, Any]:
    return {"hostname": "h", "ip_address": "10.0.0.1", "credential_profile_id": credential.pk, **fields}


def test_created_with_defaults(api: APIClient, winrm_credential: CredentialProfile) -> None:
    answer = api.post(URL, body(winrm_credential))
    assert answer.status_code == 201
    shown = answer.json()
    assert shown["should_ping"] is True
    assert (shown["plugin_id"], shown["port"], shown["polling_interval_seconds"]) == ("winrm", 5985, 60)
    assert (shown["status"], shown["next_poll_at"]) == ("discovered", None)
    assert shown["discovery_profile_id"] is None


def test_an_active_one_is_due_at_once(api: APIClient, winrm_credential: CredentialProfile) -> None:
    shown = api.post(URL, body(winrm_credential, status="active")).json()
    assert shown["next_poll_at"] == shown["status_since"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"ip_address": "10.0.0.300"}, "ip_address"),
        ({"ip_address": "host"}, "ip_address"),
        ({"ip_address": "0.0.0.0"}, "ip_address"),
        ({"ip_address": "::ffff:224.0.0.1"}, "ip_address"),
        ({"ip_address": "255.255.255.255"}, "ip_address"),
        ({"ip_address": "ff02::1"}, "ip_address"),
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"port": "1_0"}, "port"),
        ({"port": "٢٢"}, "port"),
        ({"polling_interval_seconds": 9}, "polling_interval_seconds"),
        ({"polling_interval_seconds": 86_401}, "polling_interval_seconds"),
        ({"plugin_id": "icmp"}, "plugin_id"),
        ({"plugin_id": "telnet"}, "plugin_id"),
        ({"credential_profile_id": 10**30}, "credential_profile_id"),
        ({"credential_profile_id": "x"}, "credential_profile_id"),
        ({"discovery_profile_id": 999}, "discovery_profile_id"),
        ({"status": "error"}, "status"),
        ({"hostname": "a\x00b"}, "hostname"),
        ({"hostname": 7}, "hostname"),
        ({"should_ping": 1}, "should_ping"),
        ({"hostname": "x" * 256}, "hostname"),
    ],
)
def test_bad_input_names_the_field(
    api: APIClient, winrm_credential: CredentialProfile, fields: dict[str, Any], field: str
) -> None:
    answer = api.post(URL, body(winrm_credential, **fields))
    assert answer.status_code == 400
    assert field in answer.json()["error"]["fields"]


def test_half_a_surrogate_pair_is_refused(api: APIClient, winrm_credential: CredentialProfile) -> None:
    raw = json.dumps(body(winrm_credential, hostname="\ud800"))
    answer = api.post(URL, data=raw, content_type="application/json")
    assert answer.status_code == 400
    assert "hostname" in answer.json()["error"]["fields"]


def test_a_taken_address_is_a_conflict(api: APIClient, device: Device) -> None:
    answer = api.post(URL, body(device.credential_profile, ip_address=device.ip_address))
    assert answer.status_code == 409
    message = answer.json()["error"]["message"]
    assert message == "A device with this ip_address and port exists already."


def test_a_ping_only_device_may_share_the_address(
    api: APIClient, device: Device, icmp_credential: CredentialProfile
) -> None:
    answer = api.post(URL, body(icmp_credential, ip_address=device.ip_address))
    assert answer.status_code == 201
    assert answer.json()["port"] == 0


@pytest.mark.parametrize("method", ["put", "patch"])
def test_profiles_are_immutable(
    api: APIClient, device: Device, icmp_credential: CredentialProfile, method: str
) -> None:
    sent = body(icmp_credential, ip_address=device.ip_address)
    answer = getattr(api, method)(f"{URL}/{device.pk}", sent)
    assert answer.status_code == 400
    assert list(answer.json()["error"]["fields"]) == ["credential_profile_id"]


@pytest.mark.parametrize("method", ["put", "patch"])
def test_the_same_profile_is_accepted(api: APIClient, device: Device, method: str) -> None:
    sent = body(device.credential_profile, ip_address=device.ip_address, hostname="new name")
    answer = getattr(api, method)(f"{URL}/{device.pk}", sent)
    assert answer.status_code == 200
    assert answer.json()["hostname"] == "new name"


def test_patch_keeps_what_it_leaves_out(api: APIClient, device: Device) -> None:
    api.patch(f"{URL}/{device.pk}", {"should_ping": False, "polling_interval_seconds": 30})
    shown = api.patch(f"{URL}/{device.pk}", {"hostname": "new"}).json()
    assert (shown["should_ping"], shown["polling_interval_seconds"], shown["hostname"]) == (False, 30, "new")


def test_a_changed_interval_moves_the_next_slot(api: APIClient, device: Device) -> None:
    api.patch(f"{URL}/{device.pk}", {"polling_interval_seconds": 600})
    state = PollState.objects.get(device=device)
    assert state.interval_seconds == 600
    assert state.next_poll_at is not None
    assert (state.next_poll_at.timestamp() * 1_000 - state.grid_offset_ms) % 600_000 == pytest.approx(0)


def test_setting_inactive_takes_it_off_the_schedule(api: APIClient, device: Device) -> None:
    shown = api.patch(f"{URL}/{device.pk}", {"status": "inactive"}).json()
    assert (shown["status"], shown["next_poll_at"]) == ("inactive", None)


@pytest.mark.parametrize("status", list(DeviceStatus))
def test_provision_activates_from_any_state(api: APIClient, device: Device, status: DeviceStatus) -> None:
    Device.objects.filter(pk=device.pk).update(status=status)
    PollState.objects.filter(device=device).update(next_poll_at=None)
    answer = api.post(f"{URL}/{device.pk}/provision", {"polling_interval_seconds": 120})
    assert answer.status_code == 202
    assert answer.json()["device_id"] == device.pk
    shown = api.get(f"{URL}/{device.pk}").json()
    assert (shown["status"], shown["polling_interval_seconds"]) == ("active", 120)
    assert shown["next_poll_at"] == shown["status_since"]


@pytest.mark.parametrize("interval", [0, 9, 86_401, "x", 10**30])
def test_provision_refuses_a_bad_interval(api: APIClient, device: Device, interval: Any) -> None:
    answer = api.post(f"{URL}/{device.pk}/provision", {"polling_interval_seconds": interval})
    assert answer.status_code == 400


@pytest.mark.parametrize("pk", ["999", "99999999999999999999", "abc", "-1"])
def test_unknown_ids_are_not_found(api: APIClient, pk: str) -> None:
    assert api.get(f"{URL}/{pk}").status_code == 404
    assert api.post(f"{URL}/{pk}/provision", {}).status_code == 404


def test_provision_needs_a_login(anonymous: APIClient, device: Device) -> None:
    assert anonymous.post(f"{URL}/{device.pk}/provision", {}).status_code == 401


def test_every_change_of_status_is_noted(api: APIClient, device: Device) -> None:
    api.patch(f"{URL}/{device.pk}", {"status": "inactive"})
    api.post(f"{URL}/{device.pk}/provision", {})
    changes = [(change.old_status, change.new_status) for change in device.status_changes.order_by("id")]
    assert changes == [("", "active"), ("active", "inactive"), ("inactive", "active")]


def test_a_device_is_shown_as_its_fields_say(api: APIClient, device: Device) -> None:
    PollState.objects.filter(device=device).update(last_polled_at=database_now(), last_verdict="timeout")
    device.refresh_from_db()
    serializer = DeviceSerializer(device)
    by_field = super(DeviceSerializer, serializer).to_representation(device)
    assert list(serializer.data.items()) == list(by_field.items())
    assert api.get(URL).json()["results"] == [api.get(f"{URL}/{device.pk}").json()] == [by_field]


def test_list_has_a_constant_number_of_queries(
    api: APIClient, winrm_credential: CredentialProfile, django_assert_num_queries: Any
) -> None:
    for last in range(1, 21):
        api.post(URL, body(winrm_credential, ip_address=f"10.0.0.{last}"))
    for size in (10, 19):
        with django_assert_num_queries(2):  # rows, count; the permissions were read by the posts
            answer = api.get(URL, {"page_size": size})
        assert (answer.json()["count"], len(answer.json()["results"])) == (20, size)
    for size in (20, 50):
        with django_assert_num_queries(1):  # a page that is not full says how many there are
            answer = api.get(URL, {"page_size": size})
        assert (answer.json()["count"], len(answer.json()["results"])) == (20, 20)
    assert [len(api.get(URL, {"page": page, "page_size": 15}).json()["results"]) for page in (1, 2)] == [
        15,
        5,
    ]
    assert api.get(URL, {"page": 3, "page_size": 15}).status_code == 404


def test_devices_are_counted_without_what_is_shown_of_them(api: APIClient, device: Device) -> None:
    """A join, though PostgreSQL leaves it out, keeps it from the indexes that are fastest to count."""
    with CaptureQueriesContext(connection) as queries:
        assert api.get(URL, {"page_size": "1", "page": "last"}).json()["count"] == 1
    (count,) = (query["sql"] for query in queries if "COUNT" in query["sql"])
    assert "JOIN" not in count


def test_filter_search_and_order(api: APIClient, device: Device, ping_device: Device) -> None:
    assert api.get(URL, {"plugin_id": "icmp"}).json()["count"] == 1
    assert api.get(URL, {"search": "win-"}).json()["count"] == 1
    ordered = api.get(URL, {"ordering": "-id"}).json()["results"]
    assert [row["id"] for row in ordered] == [ping_device.pk, device.pk]
    ordered = api.get(URL, {"ordering": "status, -id"}).json()["results"]
    assert [row["id"] for row in ordered] == [ping_device.pk, device.pk]
    fields = api.get(URL, {"ordering": "id,naem"}).json()["error"]["fields"]
    assert "Cannot order by 'naem'" in fields["ordering"][0]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("web", {"Web-1.office", "web_2"}),
        ("EB-1", {"Web-1.office"}),
        ("w", {"Web-1.office", "web_2"}),
        ("10.2.0", {"Web-1.office", "web_2"}),
        ("10.2.0.1 office", {"Web-1.office"}),
        ("10.2.0.0/31", {"Web-1.office"}),
        ("10.0.0.0/8 2001:db8::/32", set()),
        ("2001:db8::/32", {"ümlaut"}),
        ("2001:DB8::5", {"ümlaut"}),
        ("ÜML", {"ümlaut"}),
        ("web_", {"web_2"}),
        ("%", set()),
        ("/", set()),
        ("x/y", set()),
        ("office 10", {"Web-1.office"}),
        ("office 1.1", set()),
        ("fe80::%eth0/64", set()),
        ("10.0.0.0/99", set()),
        (" ".join(["web-1"] * 5_000), {"Web-1.office"}),
    ],
)
def test_search(
    api: APIClient, admin_client: Client, winrm_credential: CredentialProfile, search: str, found: set[str]
) -> None:
    for name, address in (("Web-1.office", "10.2.0.1"), ("web_2", "10.2.0.200"), ("ümlaut", "2001:db8::5")):
        api.post(URL, body(winrm_credential, hostname=name, ip_address=address))
    rows = api.get(URL, {"search": search}).json()["results"]
    assert {row["hostname"] for row in rows} == found
    page = admin_client.get("/admin/devices/device/", {"q": search}).content.decode()
    assert {name for name in ("Web-1.office", "web_2", "ümlaut") if f">{name}</a>" in page} == found


HOSTILE = [
    {"search": "\x00"},
    {"search": " ".join(map(str, range(21)))},
    {"status": "nonsense"},
    {"port": "x"},
    {"port": "-1e1000000"},
    {"port": str(2**40)},
    {"credential_profile_id": "1e9999999"},
    {"ip_address": "abc"},
    {"page": "x"},
    {"page_size": "x"},
    {"page_size": "0"},
    {"page_size": "-1"},
    {"should_ping": "ture"},
    {"ordering": "name"},
    {"ordering": "id,-"},
    {"ordering": "-credential_profile__encrypted_payload"},
]


@pytest.mark.parametrize("query", HOSTILE)
def test_hostile_queries_are_refused(api: APIClient, query: dict[str, str]) -> None:
    assert api.get(URL, query).status_code in (400, 404)


def test_a_filter_left_empty_is_not_given(api: APIClient, device: Device) -> None:
    assert api.get(URL, {"should_ping": "", "port": "", "page_size": ""}).json()["count"] == 1
    assert api.get(URL, {"should_ping": "True"}).json()["count"] == 1
    assert api.get(URL, {"should_ping": "false"}).json()["count"] == 0


def test_pages_of_equal_rows_have_each_once(api: APIClient, winrm_credential: CredentialProfile) -> None:
    for last in range(1, 31):
        api.post(URL, body(winrm_credential, ip_address=f"10.0.0.{last}"))
    urls = [f"{URL}?ordering=status&page_size=7&page={page}" for page in range(1, 6)]
    pages = [api.get(url).json()["results"] for url in urls]
    assert len({row["id"] for page in pages for row in page}) == 30


@pytest.mark.parametrize(("size", "shown"), [("0000000001", 1), ("9" * 5_000, 2)])
def test_any_number_is_a_page_size(
    api: APIClient, device: Device, ping_device: Device, size: str, shown: int
) -> None:
    assert len(api.get(URL, {"page_size": size}).json()["results"]) == shown


def test_a_device_in_error_can_be_written_back_as_it_was_read(api: APIClient, device: Device) -> None:
    Device.objects.update(status="error")
    shown = api.get(f"{URL}/{device.pk}").json()
    answer = api.put(f"{URL}/{device.pk}", {**shown, "hostname": "renamed"})
    assert (answer.status_code, answer.json()["status"]) == (200, "error")
    Device.objects.update(status="inactive")
    assert api.patch(f"{URL}/{device.pk}", {"status": "error"}).status_code == 400


def test_an_ipv4_address_is_found_as_ipv6_has_it(api: APIClient, device: Device) -> None:
    answer = api.get(URL, {"ip_address": f"::ffff:{device.ip_address}"})
    assert [row["id"] for row in answer.json()["results"]] == [device.pk]


def test_a_zone_in_an_address_filter_is_no_bug(api: APIClient, device: Device) -> None:
    assert api.get(URL, {"ip_address": "fe80::1%eth0"}).status_code < 500


def test_an_update_of_a_device_deleted_meanwhile_is_not_found(
    api: APIClient, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    validate = DeviceSerializer.validate

    def delete_first(self: DeviceSerializer, attrs: dict[str, Any]) -> dict[str, Any]:
        Device.objects.filter(pk=device.pk).delete()
        return validate(self, attrs)

    monkeypatch.setattr(DeviceSerializer, "validate", delete_first)
    assert api.patch(f"{URL}/{device.pk}", {"hostname": "late"}).status_code == 404


def test_an_infinite_id_is_refused(api: APIClient, winrm_credential: CredentialProfile) -> None:
    raw = '{"ip_address": "10.0.0.1", "credential_profile_id": 1e999}'
    assert api.post(URL, data=raw, content_type="application/json").status_code == 400


def test_the_answer_shows_the_moved_slot(api: APIClient, device: Device) -> None:
    shown = api.patch(f"{URL}/{device.pk}", {"polling_interval_seconds": 3_600}).json()
    assert shown["next_poll_at"] == api.get(f"{URL}/{device.pk}").json()["next_poll_at"]


def test_deleted(api: APIClient, device: Device) -> None:
    assert api.delete(f"{URL}/{device.pk}").status_code == 204
    assert not PollState.objects.filter(device_id=device.pk).exists()


def remember(device: Device, **facts: str) -> None:
    device_remember(device_id=device.pk, ip_address=device.ip_address, port=device.port, facts=facts)


def test_what_is_remembered_is_shown_kept_and_forgotten(api: APIClient, device: Device) -> None:
    remember(device, host_key="first")
    remember(device, host_key="second", more="x")
    url = f"{URL}/{device.pk}"
    shown = api.get(url).json()
    assert shown["remembered"] == {"host_key": "first", "more": "x"}
    remember(device, more="y")
    assert api.get(url).json() == shown  # nothing new, nothing written
    assert api.patch(url, {"remembered": {"host_key": "forged"}}).json()["remembered"]["host_key"] == "first"
    assert api.post(f"{url}/forget").status_code == 204
    assert api.get(url).json()["remembered"] == {}


def test_forgetting_for_a_device_that_is_not_there(api: APIClient) -> None:
    assert api.post(f"{URL}/12345/forget").status_code == 404
    device_remember(device_id=12345, ip_address="10.0.0.1", port=22, facts={"a": "b"})


@pytest.mark.parametrize(
    ("fields", "is_kept"),
    [
        ({"ip_address": "10.0.0.9"}, False),
        ({"port": 5986}, False),
        ({"hostname": "renamed"}, True),
        ({"ip_address": "::ffff:127.20.0.1", "port": 5985}, True),  # the same, spelt otherwise
    ],
)
def test_what_is_remembered_is_of_the_host_at_its_address(
    api: APIClient, device: Device, fields: dict[str, Any], is_kept: bool
) -> None:
    remember(device, host_key="first")
    api.patch(f"{URL}/{device.pk}", fields)
    device_remember(device_id=device.pk, ip_address="127.20.0.1", port=5985, facts={"more": "polled before"})
    expected = {"host_key": "first", "more": "polled before"} if is_kept else {}
    assert api.get(f"{URL}/{device.pk}").json()["remembered"] == expected


def test_polled_at_once(api: APIClient, device: Device) -> None:
    url = f"{URL}/{device.pk}/poll"
    states = PollState.objects.filter(device_id=device.pk)
    later = database_now() + timedelta(hours=1)
    states.update(next_poll_at=later)
    assert api.post(url).status_code == 202
    assert states.filter(next_poll_at__lte=database_now()).exists()
    overdue = database_now() - timedelta(hours=1)
    states.update(next_poll_at=overdue)
    assert api.post(url).status_code == 202
    assert states.get().next_poll_at == overdue
    states.update(leased_until=later)
    assert api.post(url).json()["error"]["message"] == "The device is being polled at this moment."


def test_only_what_is_active_is_polled_at_once(api: APIClient, device: Device) -> None:
    api.patch(f"{URL}/{device.pk}", {"status": "inactive"})
    answer = api.post(f"{URL}/{device.pk}/poll")
    assert answer.status_code == 409
    assert "Provision it first" in answer.json()["error"]["message"]
    assert PollState.objects.get(device_id=device.pk).next_poll_at is None
    assert api.post(f"{URL}/12345/poll").status_code == 404


def test_a_put_keeps_what_it_leaves_out(api: APIClient, device: Device) -> None:
    device_update(device, polling_interval_seconds=300, should_ping=False)
    before = api.get(f"{URL}/{device.pk}").json()
    answer = api.put(f"{URL}/{device.pk}", {"hostname": "renamed"})
    assert answer.status_code == 200
    changed = {"hostname", "updated_at"}
    assert {name: value for name, value in answer.json().items() if name not in changed} == {
        name: value for name, value in before.items() if name not in changed
    }
    assert answer.json()["hostname"] == "renamed"
    assert api.put(f"{URL}/{device.pk}", {}).status_code == 200
    assert "ip_address" in api.post(URL, {"hostname": "new"}).json()["error"]["fields"]
    assert "port" in api.put(f"{URL}/{device.pk}", {"port": 0}).json()["error"]["fields"]


def test_names_are_ordered_naturally(api: APIClient, ping_device: Device) -> None:
    for number, name in enumerate(("sw10", "SW2", "sw9", "sw100a2", "sw100a10"), 1):
        device_create(
            hostname=name,
            ip_address=f"10.0.0.{number}",
            plugin_id="icmp",
            port=0,
            credential_profile=ping_device.credential_profile,
        )
    shown = [row["hostname"] for row in api.get(URL, {"ordering": "hostname"}).json()["results"]]
    assert shown == ["127.21.0.1", "SW2", "sw9", "sw10", "sw100a2", "sw100a10"]
    assert [row["hostname"] for row in api.get(URL, {"ordering": "-hostname"}).json()["results"]] == shown[
        ::-1
    ]
