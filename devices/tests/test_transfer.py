"""Import and export of devices: a report for each row, nothing half done; what comes out goes in again."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from devices.models import CredentialProfile, Device, PollState
from devices.transfer import DeviceTable
from nms_project.errors import InvalidInput
from nms_project.tables import csv_rows

pytestmark = pytest.mark.django_db
URL = "/api/v1/devices"
COLUMNS = DeviceTable.columns
HEADER = ",".join(COLUMNS)


def post(api: APIClient, table: Any, **options: Any) -> Any:
    query = "&".join(f"{name}={value}" for name, value in options.items())
    kind = "text/csv" if isinstance(table, str) else "application/json"
    url = f"{URL}/import?{query}"
    return (
        api.generic("POST", url, table, content_type=kind) if isinstance(table, str) else api.post(url, table)
    )


def outcomes(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["outcome"] for row in answer.json()["rows"]]


TABLE = f"""{HEADER}
web-1,10.0.0.1,,,Windows,,,active
,10.0.0.2,5986,winrm,Windows,300,false,
bad,10.0.0.300,,,Windows,,,
nobody,10.0.0.3,,,Unknown,5,,
"web, 1",10.0.0.1,,,Windows,,,
"""


def test_a_number_is_no_yes(api: APIClient, winrm_credential: CredentialProfile) -> None:
    """As where one device is made."""
    row = {"ip_address": "10.0.0.1", "credential_profile": "Windows"}
    answer = post(api, [{**row, "should_ping": 1}, {**row, "should_ping": True}])
    assert outcomes(answer) == ["failed", "created"]
    assert list(answer.json()["rows"][0]["errors"]) == ["should_ping"]


def test_each_row_has_its_report(api: APIClient, winrm_credential: CredentialProfile) -> None:
    answer = post(api, TABLE)
    assert outcomes(answer) == ["created", "created", "failed", "failed", "exists"]
    rows = answer.json()["rows"]
    assert answer.json()["counts"] == {"created": 2, "failed": 2, "exists": 1}
    assert list(rows[2]["errors"]) == ["ip_address"]
    assert list(rows[3]["errors"]) == ["credential_profile", "polling_interval_seconds"]
    assert rows[4]["id"] == rows[0]["id"]
    one, two = Device.objects.order_by("ip_address")
    assert (one.hostname, one.port, one.status, one.polling_interval_seconds) == ("web-1", 5985, "active", 60)
    assert (two.hostname, two.port, two.should_ping, two.status) == ("10.0.0.2", 5986, False, "discovered")
    assert PollState.objects.get(device=one).next_poll_at is not None
    assert PollState.objects.get(device=two).next_poll_at is None
    assert one.status_changes.count() == 1


def test_a_dry_run_reports_and_does_nothing(api: APIClient, winrm_credential: CredentialProfile) -> None:
    answer = post(api, TABLE, dry_run="true")
    assert outcomes(answer) == ["created", "created", "failed", "failed", "exists"]
    assert Device.objects.count() == 0


def test_a_dry_run_tells_no_id_that_will_not_be(api: APIClient, winrm_credential: CredentialProfile) -> None:
    row = {"ip_address": "10.0.0.1", "credential_profile": "Windows"}
    answer = post(api, [row, row], dry_run="true")
    assert outcomes(answer) == ["created", "exists"]
    assert [report["id"] for report in answer.json()["rows"]] == [None, None]


def test_all_or_nothing(api: APIClient, winrm_credential: CredentialProfile) -> None:
    assert outcomes(post(api, TABLE, all_or_nothing="true")) == [
        "not_done",
        "not_done",
        "failed",
        "failed",
        "not_done",
    ]
    assert Device.objects.count() == 0
    good = [{"ip_address": f"10.0.1.{n}", "credential_profile": "Windows"} for n in range(3)]
    assert outcomes(post(api, good, all_or_nothing="true")) == ["created"] * 3


def test_what_is_there_keeps_its_settings(api: APIClient, device: Device) -> None:
    row = {"ip_address": "127.20.0.1", "hostname": "other", "credential_profile": "Windows"}
    (report,) = post(api, [row]).json()["rows"]
    assert (report["outcome"], report["id"]) == ("exists", device.pk)
    device.refresh_from_db()
    assert device.hostname == "win-1"


def test_what_comes_out_goes_in_again(api: APIClient, device: Device, ping_device: Device) -> None:
    Device.objects.filter(pk=device.pk).update(hostname='odd, "name"', polling_interval_seconds=90)
    answer = api.get(f"{URL}/export")
    table = answer.getvalue().decode()
    fields = ("hostname", "ip_address", "port", "plugin_id", "polling_interval_seconds", "status")
    before = list(Device.objects.order_by("ip_address").values(*fields))
    Device.objects.all().delete()
    Device.objects.all().delete()
    assert outcomes(post(api, table)) == ["created", "created"]
    assert list(Device.objects.order_by("ip_address").values(*fields)) == before
    filtered = api.get(f"{URL}/export", {"plugin_id": "icmp"}).getvalue().decode()
    assert filtered.count("\n") == 2


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "Must be a list of rows"),
        ("\n\n", "The table is empty"),
        ("name,ip\n", "Unknown columns: 'name', 'ip'"),
        ("port,ip_address,port\n1,2,3\n", "Columns that stand there twice: port."),
        ("port," * 1_000_000 + "port\n", "Columns that stand there twice: port."),
        (f"{HEADER}\na,b,c,d,e,f,g,h,i\n", "more cells"),
        (f'{HEADER}\n"a', "is no CSV"),
        (f"{HEADER}\ra\r", "end in CR alone"),
        (f"{HEADER}\n".encode("utf-16-le").decode(), "save it as CSV in UTF-8"),
        (f"\n\r\n{HEADER}\na,b,c,d,e,f,g,h,i\n", "more cells"),
        ({"a": 1}, "Must be a list of rows"),
    ],
)
def test_what_is_no_table_is_refused(api: APIClient, table: Any, words: str) -> None:
    answer = post(api, table)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "address", ["::102:304", "::1.2.3.4", "::2", "::ffff:1.2.3.4", "2001:DB8:0::1", "64:ff9b::1"]
)
def test_an_address_is_the_same_however_it_is_spelt(
    api: APIClient, winrm_credential: CredentialProfile, address: str
) -> None:
    row = {"ip_address": address, "credential_profile": "Windows"}
    assert outcomes(post(api, [row])) == ["created"]
    assert outcomes(post(api, [row])) == ["exists"]
    assert PollState.objects.count() == 1


def test_addresses_of_one_machine_only_are_refused(
    api: APIClient, winrm_credential: CredentialProfile
) -> None:
    row = {"ip_address": "fe80::1%eth0", "credential_profile": "Windows"}
    (report,) = post(api, [row]).json()["rows"]
    assert "scope" in report["errors"]["ip_address"][0]


@pytest.mark.parametrize(
    "name", ["\uff1d1+1", "\uff0bx", "=1+1", "'quoted'", "'=1", "-x", "+x", "@x", "plain", "''x"]
)
def test_names_are_no_formulas_and_come_back_as_they_were(api: APIClient, device: Device, name: str) -> None:
    Device.objects.update(hostname=name, status="error")
    table = api.get(f"{URL}/export").getvalue().decode()
    assert not table.splitlines()[1].startswith(("=", "+", "-", "@", "\uff1d", "\uff0b"))
    assert outcomes(post(api, table)) == ["exists"]
    Device.objects.all().delete()
    assert outcomes(post(api, table)) == ["created"]
    assert [(each.hostname, each.status) for each in Device.objects.all()] == [(name, "inactive")]


def test_a_table_may_be_larger_than_other_bodies(api: APIClient, winrm_credential: CredentialProfile) -> None:
    padding = "x" * 200
    table = "hostname,ip_address,credential_profile\n" + f"{padding},bad,Windows\n" * 8_000
    assert len(table) > 1_500_000
    assert post(api, table).json()["counts"] == {"failed": 8_000}
    rows = [{"hostname": padding, "ip_address": "bad", "credential_profile": "Windows"}] * 8_000
    assert post(api, rows).json()["counts"] == {"failed": 8_000}
    assert api.post(URL, {"hostname": "x" * 1_100_000}).status_code == 413


@pytest.mark.parametrize(
    "row", [7, "x", None, [], {"ip_address": {}}, {"ip_address": "10.0.0.1", "x\x00": 1}]
)
def test_rows_that_are_none_are_reported(
    api: APIClient, winrm_credential: CredentialProfile, row: Any
) -> None:
    good = {"ip_address": "10.0.0.1", "credential_profile": "Windows"}
    assert outcomes(post(api, [row, good])) == ["failed", "created"]


def test_too_many_rows_are_refused(api: APIClient) -> None:
    answer = post(api, "ip_address\n" + "1\n" * 20_001)
    assert answer.status_code == 400
    assert "20,000" in answer.json()["error"]["message"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(st.lists(st.text(max_size=8), max_size=9), max_size=5).map(
            lambda rows: "\n".join([HEADER, *(",".join(row) for row in rows)])
        ),
    )
)
def test_any_text_is_a_table_or_refused(text: str) -> None:
    with suppress(InvalidInput):
        assert all(set(row) <= set(COLUMNS) for row in csv_rows(text, COLUMNS, 20))


def test_any_bytes_are_no_bug(api: APIClient) -> None:
    answer = api.post(f"{URL}/import", b"\xff\xfe\x00", content_type="text/csv")
    assert answer.status_code == 400


@pytest.mark.slow
def test_ten_thousand_devices_are_one_request(
    api: APIClient, winrm_credential: CredentialProfile, django_assert_max_num_queries: Any
) -> None:
    addresses = (f"10.{n // 65_536}.{n // 256 % 256}.{n % 256}" for n in range(10_000))
    table = "ip_address,credential_profile,status\n" + "".join(
        f"{each},Windows,active\n" for each in addresses
    )
    with django_assert_max_num_queries(120):
        answer = post(api, table)
    assert answer.json()["counts"] == {"created": 10_000}
    assert PollState.objects.exclude(next_poll_at=None).count() == 10_000
