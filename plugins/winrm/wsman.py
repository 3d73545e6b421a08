"""SOAP messages of MS-WSMV and DSP0226 (WS-Management) that a poll sends, as text, and what it needs of the
replies.

pywinrm builds the rest (shells are made and deleted seldom); these are the ones of every poll, and building
them as text halves what a round trip costs.
"""

import base64
import codecs
import re
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape

SOAP = "http://www.w3.org/2003/05/soap-envelope"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
MICROSOFT = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
SHELL_RESOURCE = f"{SHELL}/cmd"
CIM_RESOURCE = "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/cimv2/*"
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"
TERMINATE = f"{SHELL}/signal/terminate"
DONE = f"{SHELL}/CommandState/Done"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

UTF16 = {
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}
DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
# What XML 1.0 does not allow (section 2.2), as it is and by number.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
REFERENCE = re.compile(r"&#(x[0-9a-fA-F]{1,8}|[0-9]{1,10});")
MAY_BE_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x80-\xff]|&#")

MAX_ENVELOPE_BYTES = 153_600
MAX_ELEMENTS = 32_000


@dataclass(frozen=True, slots=True)
class Received:
    """What a command has said since it was last asked, and its exit code once it has ended."""

    stdout: bytes
    stderr: bytes
    exit_code: int | None


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of an enumeration; `context` leads to the next ones, "" where these are the last."""

    rows: list[dict[str, Any]]
    context: str


class Unexpected(Exception):
    """A reply that is XML but not what was asked for."""


@lru_cache(maxsize=16)
def _frame(action: str, resource: str, timeout_seconds: int) -> tuple[str, str, str]:
    """The parts of an envelope that stay the same: before the address, before the id, before selectors and
    body.
    """
    head = (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:a="{ADDRESSING}" xmlns:n="{ENUMERATION}" xmlns:w="{WSMAN}" '
        f'xmlns:p="{MICROSOFT}" xmlns:rsp="{SHELL}"><s:Header><a:To>'
    )
    middle = (
        '</a:To><a:ReplyTo><a:Address s:mustUnderstand="true">'
        f"{ADDRESSING}/role/anonymous</a:Address></a:ReplyTo>"
        f'<w:MaxEnvelopeSize s:mustUnderstand="true">{MAX_ENVELOPE_BYTES}</w:MaxEnvelopeSize>'
        '<w:Locale s:mustUnderstand="false" xml:lang="en-US"/>'
        '<p:DataLocale s:mustUnderstand="false" xml:lang="en-US"/>'
        f"<w:OperationTimeout>PT{timeout_seconds}S</w:OperationTimeout>"
        f'<w:ResourceURI s:mustUnderstand="true">{resource}</w:ResourceURI>'
        f'<a:Action s:mustUnderstand="true">{action}</a:Action><a:MessageID>uuid:'
    )
    return head, middle, "</a:MessageID>"


def _envelope(
    endpoint: str, action: str, resource: str, body: str, *, timeout_seconds: int, header: str = ""
) -> str:
    head, middle, tail = _frame(action, resource, timeout_seconds)
    message_id = str(uuid.uuid4()).upper()
    return (
        f"{head}{endpoint}{middle}{message_id}{tail}{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    )


def _shell_message(
    endpoint: str, verb: str, shell_id: str, body: str, timeout_seconds: int, options: str = ""
) -> str:
    selector = (
        f'<w:SelectorSet><w:Selector Name="ShellId">{escape(shell_id)}</w:Selector></w:SelectorSet>{options}'
    )
    return _envelope(
        endpoint, f"{SHELL}/{verb}", SHELL_RESOURCE, body, timeout_seconds=timeout_seconds, header=selector
    )


def command(
    endpoint: str, shell_id: str, executable: str, arguments: tuple[str, ...], *, timeout_seconds: int
) -> str:
    """Starts a process whose stdin is a pipe."""
    options = (
        '<w:OptionSet><w:Option Name="WINRS_CONSOLEMODE_STDIN">FALSE</w:Option>'
        '<w:Option Name="WINRS_SKIP_CMD_SHELL">FALSE</w:Option></w:OptionSet>'
    )
    words = "".join(f"<rsp:Arguments>{escape(argument)}</rsp:Arguments>" for argument in arguments)
    body = f"<rsp:CommandLine><rsp:Command>{escape(executable)}</rsp:Command>{words}</rsp:CommandLine>"
    return _shell_message(endpoint, "Command", shell_id, body, timeout_seconds, options)


def receive(endpoint: str, shell_id: str, command_id: str, *, timeout_seconds: int) -> str:
    streams = f'<rsp:DesiredStream CommandId="{escape(command_id)}">stdout stderr</rsp:DesiredStream>'
    body = f"<rsp:Receive>{streams}</rsp:Receive>"
    return _shell_message(endpoint, "Receive", shell_id, body, timeout_seconds)


def send(endpoint: str, shell_id: str, command_id: str, stdin: bytes, *, timeout_seconds: int) -> str:
    data = base64.b64encode(stdin).decode("ascii")
    body = (
        f'<rsp:Send><rsp:Stream Name="stdin" CommandId="{escape(command_id)}">{data}</rsp:Stream></rsp:Send>'
    )
    return _shell_message(endpoint, "Send", shell_id, body, timeout_seconds)


def terminate(endpoint: str, shell_id: str, command_id: str, *, timeout_seconds: int) -> str:
    body = f'<rsp:Signal CommandId="{escape(command_id)}"><rsp:Code>{TERMINATE}</rsp:Code></rsp:Signal>'
    return _shell_message(endpoint, "Signal", shell_id, body, timeout_seconds)


def enumerate_wql(endpoint: str, wql: str, *, timeout_seconds: int) -> str:
    body = (
        f"<n:Enumerate><w:OptimizeEnumeration/><w:MaxElements>{MAX_ELEMENTS}</w:MaxElements>"
        f'<w:Filter Dialect="{WQL}">{escape(wql)}</w:Filter></n:Enumerate>'
    )
    return _envelope(
        endpoint, f"{ENUMERATION}/Enumerate", CIM_RESOURCE, body, timeout_seconds=timeout_seconds
    )


def pull(endpoint: str, context: str, *, timeout_seconds: int) -> str:
    body = (
        f"<n:Pull><n:EnumerationContext>{escape(context)}</n:EnumerationContext>"
        f"<n:MaxElements>{MAX_ELEMENTS}</n:MaxElements></n:Pull>"
    )
    return _envelope(endpoint, f"{ENUMERATION}/Pull", CIM_RESOURCE, body, timeout_seconds=timeout_seconds)


def release(endpoint: str, context: str, *, timeout_seconds: int) -> str:
    body = f"<n:Release><n:EnumerationContext>{escape(context)}</n:EnumerationContext></n:Release>"
    return _envelope(endpoint, f"{ENUMERATION}/Release", CIM_RESOURCE, body, timeout_seconds=timeout_seconds)


def command_id_of(reply: bytes) -> str:
    found = _body(reply).findtext(f"{{{SHELL}}}CommandResponse/{{{SHELL}}}CommandId")
    if not found:
        raise Unexpected("the host started a command without telling its id")
    return found


def received_of(reply: bytes) -> Received:
    """Streams are bytes cut anywhere, also inside a character: joined here, decoded by the caller."""
    answer = _body(reply).find(f"{{{SHELL}}}ReceiveResponse")
    if answer is None:
        raise Unexpected("the host's reply to Receive has no ReceiveResponse")
    streams: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
    for stream in answer.iterfind(f"{{{SHELL}}}Stream"):
        if stream.text:
            streams.setdefault(stream.get("Name", ""), []).append(base64.b64decode(stream.text))
    state = answer.find(f"{{{SHELL}}}CommandState")
    exit_code = None
    if state is not None and state.get("State") == DONE:
        exit_code = int(state.findtext(f"{{{SHELL}}}ExitCode") or -1)
    return Received(b"".join(streams["stdout"]), b"".join(streams["stderr"]), exit_code)


def page_of(reply: bytes) -> Page:
    """Rows are fragments of the properties asked for. Only direct children are looked at: a class may have a
    property of any name.
    """
    answer = next(iter(_body(reply)), None)
    if answer is None or answer.tag not in (
        f"{{{ENUMERATION}}}EnumerateResponse",
        f"{{{ENUMERATION}}}PullResponse",
    ):
        raise Unexpected("the host's reply is no enumeration")
    rows: list[dict[str, Any]] = []
    context, is_last = "", False
    for child in answer:
        name = _local(child.tag)
        if name == "Items":
            rows += [_row(item) for item in child]
        elif name == "EndOfSequence":
            is_last = True
        elif name == "EnumerationContext":
            context = (child.text or "").strip()
    return Page(rows, "" if is_last else context)


def _row(item: ET.Element) -> dict[str, Any]:
    """Null is xsi:nil; a moment is an element of its own inside the property."""
    return {_local(element.tag): _value(element) for element in item}


def _value(element: ET.Element) -> str | None:
    if element.get(NIL) == "true":
        return None
    inner = next(iter(element), None)
    return (inner if inner is not None else element).text or ""


def messages_of(fault: str) -> Iterator[str]:
    """What a SOAP fault says, innermost last: the outer text is the same for everything."""
    try:
        root = ET.fromstring(fault)  # noqa: S314 (a size-bounded reply; expat expands no external entity)
    except ET.ParseError:
        return
    for element in root.iter():
        if _local(element.tag) in ("Text", "Message"):
            text = " ".join((element.text or "").split())
            if text:
                yield text


def xml_repaired(reply: bytes) -> bytes:
    """Return a reply as UTF-8, with what XML does not allow replaced by U+FFFD.

    Hosts may answer in UTF-16, and put into a property whatever a driver or person wrote there: a control
    character in one name would cost the whole reply. A document type is made invalid: no host sends one, and
    its entities can expand to gigabytes.
    """
    return _as_utf8(reply).replace(b"<!DOCTYPE", b"<!doctype")


def _as_utf8(reply: bytes) -> bytes:
    encoding = UTF16.get(reply[:2])
    if encoding is None and MAY_BE_FORBIDDEN.search(reply) is None:
        return reply
    text = reply.decode(encoding or "utf-8-sig", errors="replace")
    if encoding is not None:
        text = DECLARATION.sub("", text)
    text = FORBIDDEN.sub("\ufffd", text)
    return REFERENCE.sub(_allowed_reference, text).encode("utf-8", errors="replace")


def _allowed_reference(reference: re.Match[str]) -> str:
    digits = reference[1]
    number = int(digits[1:], 16) if digits.startswith("x") else int(digits)
    is_allowed = number <= 0x10FFFF and not FORBIDDEN.match(chr(number))
    return reference[0] if is_allowed else "\ufffd"


def _body(reply: bytes) -> ET.Element:
    body = ET.fromstring(reply).find(f"{{{SOAP}}}Body")  # noqa: S314 (as above)
    if body is None:
        raise Unexpected("the host's reply has no SOAP body")
    return body


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
