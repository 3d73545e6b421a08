"""SOAP of MS-WSMV as a Windows host speaks it: requests taken apart, replies and faults built.

Shapes of the replies follow MS-WSMV, sections 3.1.4.1 (messages) and 2.2.9 (types).
"""

import base64
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
ENUMERATION = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
NAMESPACES = {
    "env": "http://www.w3.org/2003/05/soap-envelope",
    "a": ADDRESSING,
    "w": WSMAN,
    "n": ENUMERATION,
    "rsp": SHELL,
}

CREATE = f"{TRANSFER}/Create"
DELETE = f"{TRANSFER}/Delete"
COMMAND = f"{SHELL}/Command"
RECEIVE = f"{SHELL}/Receive"
SEND = f"{SHELL}/Send"
SIGNAL = f"{SHELL}/Signal"
ENUMERATE = f"{ENUMERATION}/Enumerate"
PULL = f"{ENUMERATION}/Pull"
RELEASE = f"{ENUMERATION}/Release"

TIMED_OUT = 2150858793
INVALID_SELECTORS = 2150858843
MAX_SHELLS = 2150859173
SCHEMA_ERROR = 2150858817
NOT_SUPPORTED = 2150858752
ACCESS_DENIED = 5
NO_SHELLS = 2150859180
NO_SUCH_CLASS = 2150858778
BAD_CONTEXT = 2150858779
MAX_OPERATIONS = 2150859174
PIPE_CLOSING = 232


@dataclass(frozen=True, slots=True)
class Request:
    action: str
    message_id: str
    shell_id: str
    command_id: str
    command_line: str
    stdin: bytes
    wql: str
    context: str
    operation_timeout_seconds: float


class InvalidEnvelope(ValueError):
    """Not a SOAP envelope."""


def parse(raw: bytes) -> Request:
    try:
        root = ET.fromstring(raw)  # noqa: S314 (a test tool on loopback)
    except ET.ParseError as error:
        raise InvalidEnvelope(str(error)) from None
    header, body = root.find("env:Header", NAMESPACES), root.find("env:Body", NAMESPACES)
    if header is None:
        raise InvalidEnvelope("no header")
    selector = header.find("w:SelectorSet/w:Selector[@Name='ShellId']", NAMESPACES)
    return Request(
        action=header.findtext("a:Action", "", NAMESPACES),
        message_id=header.findtext("a:MessageID", "", NAMESPACES),
        shell_id=(selector.text or "") if selector is not None else "",
        command_id=_command_id(body),
        command_line=_command_line(body),
        stdin=base64.b64decode(_text(body, "rsp:Send/rsp:Stream")),
        wql=_text(body, "n:Enumerate/w:Filter"),
        context=_text(body, "*/n:EnumerationContext"),
        operation_timeout_seconds=_seconds(header.findtext("w:OperationTimeout", "PT60S", NAMESPACES)),
    )


def _text(body: ET.Element | None, path: str) -> str:
    return (body.findtext(path, "", NAMESPACES) or "") if body is not None else ""


def _command_id(body: ET.Element | None) -> str:
    if body is None:
        return ""
    found = (element.get("CommandId") for element in body.iter())
    return next((command_id for command_id in found if command_id), "")


def _command_line(body: ET.Element | None) -> str:
    line = body.find("rsp:CommandLine", NAMESPACES) if body is not None else None
    if line is None:
        return ""
    parts = [line.findtext("rsp:Command", "", NAMESPACES)]
    parts += [argument.text or "" for argument in line.findall("rsp:Arguments", NAMESPACES)]
    return " ".join(parts)


def _seconds(duration: str) -> float:
    return float(duration.removeprefix("PT").removesuffix("S") or 60)


def reply(request: Request, action: str, body: str) -> bytes:
    return (
        '<s:Envelope xml:lang="en-US" xmlns:s="http://www.w3.org/2003/05/soap-envelope" '
        f'xmlns:a="{ADDRESSING}" xmlns:x="{TRANSFER}" xmlns:w="{WSMAN}" xmlns:n="{ENUMERATION}" '
        f'xmlns:rsp="{SHELL}" '
        'xmlns:p="http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"><s:Header>'
        f"<a:Action>{action}</a:Action><a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID>"
        f"<a:To>{ADDRESSING}/role/anonymous</a:To><a:RelatesTo>{request.message_id}</a:RelatesTo>"
        f"</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def created(request: Request, shell_id: str) -> bytes:
    body = (
        "<x:ResourceCreated><a:Address>http://localhost:5985/wsman</a:Address><a:ReferenceParameters>"
        f"<w:ResourceURI>{SHELL}/cmd</w:ResourceURI><w:SelectorSet>"
        f'<w:Selector Name="ShellId">{shell_id}</w:Selector></w:SelectorSet></a:ReferenceParameters>'
        "</x:ResourceCreated>"
    )
    return reply(request, f"{CREATE}Response", body)


def command_started(request: Request, command_id: str) -> bytes:
    body = f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"
    return reply(request, f"{COMMAND}Response", body)


def received(request: Request, command_id: str, stdout: bytes, stderr: bytes, exit_code: int | None) -> bytes:
    """`exit_code` is None for a command that runs on."""
    end = (
        ""
        if exit_code is None
        else "".join(
            f'<rsp:Stream Name="{name}" CommandId="{command_id}" End="true"></rsp:Stream>'
            for name in ("stdout", "stderr")
        )
    )
    # Pieces are cut anywhere, also inside a character.
    pieces = [("stdout", stdout[:701]), ("stdout", stdout[701:]), ("stderr", stderr)]
    streams = "".join(
        f'<rsp:Stream Name="{name}" CommandId="{command_id}">{base64.b64encode(data).decode()}</rsp:Stream>'
        for name, data in pieces
        if data
    )
    if exit_code is None:
        state = f'<rsp:CommandState CommandId="{command_id}" State="{SHELL}/CommandState/Running"/>'
    else:
        state = (
            f'<rsp:CommandState CommandId="{command_id}" State="{SHELL}/CommandState/Done">'
            f"<rsp:ExitCode>{exit_code}</rsp:ExitCode></rsp:CommandState>"
        )
    body = f"<rsp:ReceiveResponse>{streams}{end}{state}</rsp:ReceiveResponse>"
    return reply(request, f"{RECEIVE}Response", body)


def sent(request: Request) -> bytes:
    return reply(request, f"{SEND}Response", "<rsp:SendResponse/>")


def enumerated(request: Request, rows: list[dict[str, Any]], context: str) -> bytes:
    """Items and their end in WS-Management's namespace, as hosts send the optimised reply."""
    end = "" if context else "<w:EndOfSequence/>"
    body = (
        f"<n:EnumerateResponse><n:EnumerationContext>{context}</n:EnumerationContext>"
        f"<w:Items>{_fragments(rows)}</w:Items>{end}</n:EnumerateResponse>"
    )
    return reply(request, f"{ENUMERATE}Response", body)


def pulled(request: Request, rows: list[dict[str, Any]]) -> bytes:
    """The last rows: Items and their end in the enumeration's own namespace."""
    body = f"<n:PullResponse><n:Items>{_fragments(rows)}</n:Items><n:EndOfSequence/></n:PullResponse>"
    return reply(request, f"{PULL}Response", body)


def released(request: Request) -> bytes:
    return reply(request, f"{RELEASE}Response", "")


def _fragments(rows: list[dict[str, Any]]) -> str:
    """A row with named properties comes as a fragment, they in alphabetical order."""
    head = f'<w:XmlFragment xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:w="{WSMAN}">'
    return "".join(
        head + "".join(_property(name, row[name]) for name in sorted(row)) + "</w:XmlFragment>"
        for row in rows
    )


def _property(name: str, value: Any) -> str:
    if value is None:
        return f'<{name} xsi:nil="true"/>'
    if name.endswith("Time") and isinstance(value, str):
        return f"<{name}><Datetime>{value}</Datetime></{name}>"
    return f"<{name}>{escape(str(value))}</{name}>"


def signalled(request: Request) -> bytes:
    return reply(request, f"{SIGNAL}Response", "<rsp:SignalResponse/>")


def deleted(request: Request) -> bytes:
    return reply(request, f"{DELETE}Response", "")


def fault(request: Request, code: int, subcode: str, reason: str) -> bytes:
    body = (
        "<s:Fault><s:Code><s:Value>s:Receiver</s:Value>"
        f"<s:Subcode><s:Value>{subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{reason}</s:Text></s:Reason><s:Detail>'
        f'<f:WSManFault xmlns:f="http://schemas.microsoft.com/wbem/wsman/1/wsmanfault" Code="{code}" '
        f'Machine="localhost"><f:Message>{reason}</f:Message></f:WSManFault></s:Detail></s:Fault>'
    )
    return reply(request, "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", body)
