"""SOAP of MS-WSMV as a Windows host speaks it: requests taken apart, replies and faults built.

Shapes of the replies follow MS-WSMV, sections 3.1.4.1 (messages) and 2.2.9 (types).
"""

import base64
import uuid
import xml.etree.ElementTree as ET
from dataclasses import dataclass

SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
ADDRESSING = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
NAMESPACES = {"env": "http://www.w3.org/2003/05/soap-envelope", "a": ADDRESSING, "w": WSMAN, "rsp": SHELL}

CREATE = f"{TRANSFER}/Create"
DELETE = f"{TRANSFER}/Delete"
COMMAND = f"{SHELL}/Command"
RECEIVE = f"{SHELL}/Receive"
SIGNAL = f"{SHELL}/Signal"

TIMED_OUT = 2150858793
INVALID_SELECTORS = 2150858843
MAX_SHELLS = 2150859173
SCHEMA_ERROR = 2150858817
NOT_SUPPORTED = 2150858752


@dataclass(frozen=True, slots=True)
class Request:
    action: str
    message_id: str
    shell_id: str
    command_id: str
    command_line: str
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
        operation_timeout_seconds=_seconds(header.findtext("w:OperationTimeout", "PT60S", NAMESPACES)),
    )


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
        f'xmlns:a="{ADDRESSING}" xmlns:x="{TRANSFER}" xmlns:w="{WSMAN}" xmlns:rsp="{SHELL}" '
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


def received(request: Request, command_id: str, stdout: bytes, stderr: bytes, exit_code: int) -> bytes:
    streams = "".join(
        f'<rsp:Stream Name="{name}" CommandId="{command_id}">{base64.b64encode(data).decode()}</rsp:Stream>'
        f'<rsp:Stream Name="{name}" CommandId="{command_id}" End="true"></rsp:Stream>'
        for name, data in (("stdout", stdout), ("stderr", stderr))
    )
    state = (
        f'<rsp:CommandState CommandId="{command_id}" State="{SHELL}/CommandState/Done">'
        f"<rsp:ExitCode>{exit_code}</rsp:ExitCode></rsp:CommandState>"
    )
    return reply(
        request, f"{RECEIVE}Response", f"<rsp:ReceiveResponse>{streams}{state}</rsp:ReceiveResponse>"
    )


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
