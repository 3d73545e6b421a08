"""Rows to document, and replies to rows: pure functions, with the shapes real hosts send."""

from typing import Any

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Parser

from plugins.winrm import powershell, wsman
from plugins.winrm.document import Counters, Rows, counters_of, document_of
from plugins.winrm.errors import ScriptError
from plugins.winrm.queries import QUERIES

HEAD = (
    '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
    'xmlns:n="http://schemas.xmlsoap.org/ws/2004/09/enumeration" '
    'xmlns:w="http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><s:Header/><s:Body>'
)
TAIL = "</s:Body></s:Envelope>"


def processors(idle: int, stamp: int, name: str = "_Total") -> Rows:
    row = {"Name": name, "PercentProcessorTime": str(idle), "Timestamp_Sys100NS": str(stamp)}
    return Rows({"processors": [row]})


def interface(received: int, stamp: int, **more: Any) -> Rows:
    row = {
        "Name": "Ethernet",
        "BytesReceivedPersec": received,
        "BytesSentPersec": 0,
        "CurrentBandwidth": 1_000_000_000,
        "Timestamp_PerfTime": stamp,
        "Frequency_PerfTime": 1_000,
        **more,
    }
    return Rows({"interfaces": [row]})


def after(before: Rows, now: Rows) -> dict[str, Any]:
    return document_of(now, counters_of(before), counters_of(now))


def test_processor_time_is_what_is_not_idle() -> None:
    assert after(processors(0, 0), processors(2_500_000, 10_000_000))["cpu"] == {"total": 75.0}


def test_cores_of_all_groups_are_numbered_through() -> None:
    names = ["0,0", "0,1", "0,10", "0,2", "0,_Total", "1,0", "_Total"]

    def rows(stamp: int) -> Rows:
        return Rows(
            {
                "processors": [
                    {
                        "Name": name,
                        "PercentProcessorTime": stamp - stamp * position // 10,
                        "Timestamp_Sys100NS": stamp,
                    }
                    for position, name in enumerate(names)
                ]
            }
        )

    cpu = after(rows(0), rows(10_000_000))["cpu"]
    assert cpu == {"total": 60.0, "0": 0.0, "1": 10.0, "2": 30.0, "3": 20.0, "4": 50.0}


def test_without_an_earlier_reading_there_are_no_rates() -> None:
    now = interface(10, 1_000)
    assert document_of(now, None, counters_of(now)) == {}
    assert document_of(now, Counters(), counters_of(now)) == {}


def test_a_clock_that_was_set_is_no_load() -> None:
    def rows(idle: int, wall: int, ticks: int) -> Rows:
        row = {**processors(idle, wall).of("processors")[0]}
        return Rows({"processors": [{**row, "Timestamp_PerfTime": ticks, "Frequency_PerfTime": 10}]})

    hour = 36_000_000_000
    assert after(rows(0, 0, 0), rows(540_000_000, hour, 600))["cpu"] == {"total": 10.0}


@pytest.mark.parametrize("name", ["Processor", "0,1,2", "0x1", "", "Core 1", "1_0", "²"])
def test_an_instance_of_another_form_costs_only_itself(name: str) -> None:
    def rows(idle: int, stamp: int) -> Rows:
        return Rows(
            {
                "processors": [
                    *processors(idle, stamp).of("processors"),
                    *processors(idle, stamp, "0,0").of("processors"),
                    *processors(idle, stamp, name).of("processors"),
                ]
            }
        )

    assert after(rows(0, 0), rows(5_000_000, 10_000_000))["cpu"] == {"total": 50.0, "0": 50.0}


def test_the_older_class_numbers_its_instances() -> None:
    def rows(idle: int, stamp: int) -> Rows:
        names = ("0", "1", "10", "2", "_Total")
        return Rows(
            {"processors": [row for name in names for row in processors(idle, stamp, name).of("processors")]}
        )

    assert set(after(rows(0, 0), rows(5_000_000, 10_000_000))["cpu"]) == {"total", "0", "1", "2", "3"}


@pytest.mark.parametrize("name", ["PercentProcessorTime", "Timestamp_Sys100NS"])
def test_a_counter_that_is_null_is_not_zero(name: str) -> None:
    before, now = processors(0, 0), processors(5_000_000, 10_000_000)
    unknown = Rows({"processors": [{**before.of("processors")[0], name: None}]})
    assert "cpu" not in after(unknown, now)
    assert "cpu" not in after(before, unknown)


def test_what_a_host_does_not_know_is_left_out() -> None:
    rows = Rows(
        {
            "system": [{"CSName": "A", "TotalVisibleMemorySize": 100, "FreePhysicalMemory": None}],
            "disks": [
                {"DeviceID": "C:", "Size": 100, "FreeSpace": None},
                {"DeviceID": "D:", "Size": 200, "FreeSpace": 0},
            ],
        }
    )
    found = document_of(rows, None, Counters())
    assert "memory" not in found
    assert found["disk"] == {"total": {"size": 200, "free": 0}, "drives": {"D:": {"total": 200, "free": 0}}}
    assert found["system"] == {"hostname": "A", "os": ""}


def test_volumes_in_folders_are_drives() -> None:
    volumes: list[dict[str, Any]] = [
        {"Name": "C:\\", "DriveLetter": "C:", "Capacity": 100, "FreeSpace": 5},
        {"Name": "C:\\SQL\\", "DriveLetter": None, "Capacity": 900, "FreeSpace": 1},
        {"Name": "\\\\?\\Volume{1}\\", "DriveLetter": None, "Capacity": 50, "FreeSpace": 1},
    ]
    letters: list[dict[str, Any]] = [{"DeviceID": "C:", "Size": 100, "FreeSpace": 5}]
    rows = Rows({"disks": letters, "volumes": volumes})
    assert set(document_of(rows, None, Counters())["disk"]["drives"]) == {"C:", "C:\\SQL\\"}


@pytest.mark.parametrize(
    ("computer", "expected"),
    [
        ({"DNSHostName": "branch-office-server-7", "Name": "BRANCH-OFFICE-S"}, "branch-office-server-7"),
        ({"DNSHostName": None, "Name": "BRANCH-OFFICE-S"}, "BRANCH-OFFICE-S"),
        ({}, "CS"),
    ],
)
def test_the_whole_name_of_a_host(computer: dict[str, Any], expected: str) -> None:
    rows = Rows({"computer": [computer], "system": [{"CSName": "CS"}]})
    assert document_of(rows, None, Counters())["system"]["hostname"] == expected


REPLY = (
    HEAD + "<n:PullResponse><w:Items><w:XmlFragment><Name>{}</Name></w:XmlFragment></w:Items>"
    "<w:EndOfSequence/></n:PullResponse>" + TAIL
)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (REPLY.format("a").encode(), "a"),
        (REPLY.format("a\x01b").encode(), "a\ufffdb"),
        (REPLY.format("a&#x1;b&#65;&#xD800;&#x110000;").encode(), "a\ufffdbA\ufffd\ufffd"),
        (REPLY.format("Zwölf").encode("latin-1"), "Zw\ufffdlf"),
        (REPLY.format("Zwölf\uffff").encode(), "Zwölf\ufffd"),
        (b"\xef\xbb\xbf" + REPLY.format("ö").encode(), "ö"),
        (REPLY.format("ö").encode("utf-16"), "ö"),
        (('<?xml version="1.0" encoding="utf-16"?>' + REPLY.format("ö")).encode("utf-16-le"), "ö"),
        (REPLY.format("ö\x02").encode("utf-16-be"), "ö\ufffd"),
    ],
)
def test_replies_in_any_encoding_and_with_any_character(raw: bytes, name: str) -> None:
    assert wsman.page_of(wsman.xml_repaired(raw)).rows == [{"Name": name}]


def test_interfaces_by_the_hosts_own_clock() -> None:
    network = after(interface(0, 0), interface(5_000, 2_000))["network"]
    assert network["interfaces"]["Ethernet"] == {"rx": 2_500, "tx": 0}


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (interface(2**40, 0), interface(1_000, 1_000)),  # 64 bits never wrap: it was reset
        (interface(2**32 - 1_000, 0), interface(1_000, 1_000)),  # a card that began again, whatever its speed
        (interface(0, 1_000), interface(10, 1_000)),  # no time has passed
        (interface(0, 2_000), interface(10, 1_000)),  # the host was started again
    ],
)
def test_a_counter_that_was_reset_gives_no_rate(before: Rows, now: Rows) -> None:
    assert "network" not in after(before, now)


def test_a_host_whose_clock_is_wrong_still_knows_its_uptime() -> None:
    row = {
        "CSName": "A",
        "LastBootUpTime": "1999-12-31T23:59:59.5Z",
        "LocalDateTime": "2000-01-01T01:00:00.4881710+01:00",
    }
    rows = Rows({"system": [row]})
    assert document_of(rows, None, Counters())["system"]["uptime_seconds"] == 0


@pytest.mark.parametrize(
    "moment",
    [
        "2013-04-15T16:28:43.488171Z",
        "2013-04-15T16:28:43.4881712Z",
        "2013-04-15T16:28:43.5Z",
        "2013-04-15T16:28:43Z",
    ],
)
def test_moments_have_any_number_of_digits(moment: str) -> None:
    row = {"LastBootUpTime": moment, "LocalDateTime": "2013-04-15T17:28:44Z"}
    assert document_of(Rows({"system": [row]}), None, Counters())["system"]["uptime_seconds"] in (
        3_600,
        3_601,
    )


@pytest.mark.parametrize("value", [None, "", "soon", [], {}])
def test_values_that_are_none_leave_the_section_standing(value: Any) -> None:
    row = {"CSName": "A", "LastBootUpTime": value, "LocalDateTime": value, "NumberOfProcesses": value}
    assert document_of(Rows({"system": [row]}), None, Counters())["system"]["hostname"] == "A"


def test_an_enumeration_that_is_complete_at_once() -> None:
    reply = (
        f"{HEAD}<n:EnumerateResponse><n:EnumerationContext></n:EnumerationContext><w:Items><w:XmlFragment>"
        "<CSName>A</CSName><LastBootUpTime><Datetime>2013-04-15T16:28:43Z</Datetime></LastBootUpTime>"
        '<Caption xsi:nil="true"/></w:XmlFragment></w:Items><w:EndOfSequence/></n:EnumerateResponse>' + TAIL
    )
    page = wsman.page_of(reply.encode())
    assert page.rows == [{"CSName": "A", "LastBootUpTime": "2013-04-15T16:28:43Z", "Caption": None}]
    assert page.context == ""


def test_a_page_in_the_middle_leads_on() -> None:
    reply = (
        f"{HEAD}<n:PullResponse><n:EnumerationContext>uuid:2</n:EnumerationContext><n:Items><w:XmlFragment>"
        "<EndOfSequence>a property of that name</EndOfSequence></w:XmlFragment></n:Items></n:PullResponse>"
        + TAIL
    )
    page = wsman.page_of(reply.encode())
    assert page.context == "uuid:2"
    assert page.rows == [{"EndOfSequence": "a property of that name"}]


def test_a_query_is_escaped() -> None:
    text = wsman.enumerate_wql("http://a", "SELECT a FROM b WHERE c<5", timeout_seconds=5)
    assert "c&lt;5" in text


def test_a_fault_tells_its_innermost_reason() -> None:
    fault = (
        "<f><Text>The outer words.</Text><Detail><Message><ProviderFault>"
        "<Message>The specified class does not exist.</Message></ProviderFault></Message></Detail></f>"
    )
    assert list(wsman.messages_of(fault))[-1] == "The specified class does not exist."
    assert list(wsman.messages_of("<broken")) == []


def test_the_script_fits_cmds_line_and_asks_what_cim_asks() -> None:
    for executable, arguments in (powershell.once(), powershell.twice(), powershell.resident()):
        assert len(" ".join((executable, *arguments))) < powershell.MAX_COMMAND_LINE
    assert len(QUERIES) == 6


@pytest.mark.parametrize("tail", [powershell.ONCE, powershell.TWICE, powershell.RESIDENT])
def test_the_script_is_powershell(tail: str) -> None:
    """By a grammar of the language: no host is there to refuse it."""
    tree = Parser(Language(tree_sitter_powershell.language())).parse(powershell.source_of(tail).encode())
    assert not tree.root_node.has_error, str(tree.root_node)


def test_the_grammar_would_find_a_missing_separator() -> None:
    broken = powershell.source_of(powershell.ONCE).replace("$e=@()\n", "$e=@() ")
    tree = Parser(Language(tree_sitter_powershell.language())).parse(broken.encode())
    assert tree.root_node.has_error


def test_two_lines_are_two_readings_and_a_byte_order_mark_is_none() -> None:
    line = b'\xef\xbb\xbf{"rows":{"system":[{"CSName":"A"}]},"errors":["disks: no"],"memory":5}\r\n'
    first, second = powershell.parse_lines(line + line.removeprefix(b"\xef\xbb\xbf"), b"#< CLIXML noise", 0)
    assert first == second
    assert (first.errors, first.working_set_bytes) == (("disks: no",), 5)


@pytest.mark.parametrize("stdout", [b"", b"nonsense", b"[]", b'{"rows": 5}'])
def test_output_without_rows_is_a_script_error(stdout: bytes) -> None:
    with pytest.raises(ScriptError):
        powershell.parse_lines(stdout, b"", 0)
