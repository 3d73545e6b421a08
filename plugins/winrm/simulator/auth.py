"""Logins of a connection: NTLM by pyspnego's acceptor, with sealed messages, and basic."""

import base64
import binascii
import struct
from typing import Any

import spnego
from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

MUTUAL_TLS = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
BOUNDARY = b"--Encrypted Boundary"
SEALED_TYPE = (
    'multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'
)


class Unauthorized(Exception):
    """The answer is 401 with these headers."""

    def __init__(self, headers: list[tuple[str, str]], *, is_refused: bool = False) -> None:
        super().__init__("unauthorized")
        self.headers = headers
        self.is_refused = is_refused  # a finished login that failed, not a leg of one


class BadSeal(Exception):
    """A sealed message this connection cannot open: HTTP 400, empty body."""


class Authenticator:
    """The login state of one TCP connection."""

    def __init__(
        self,
        username: str,
        password: str,
        transports: frozenset[str],
        *,
        has_certificate: bool = False,
        bindings: GssChannelBindings | None = None,
    ) -> None:
        self._has_certificate = has_certificate  # the client showed one that our authority signed
        self._bindings = bindings  # what a client must have bound its NTLM login to, on a strict host
        self._basic = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._transports = transports
        self._context: Any = None
        self.is_logged_in = False
        self.logins = 0

    def check(self, authorization: str) -> None:
        """Raises Unauthorized unless the connection is logged in after this header."""
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "basic":
            self._check_basic(value)
        elif scheme.lower() in ("negotiate", "ntlm", "credssp"):
            self._step(scheme, value)
        elif authorization == MUTUAL_TLS:
            self._check_certificate()
        elif not self.is_logged_in:
            raise Unauthorized(self._offers())

    def unseal(self, body: bytes) -> bytes:
        """The SOAP text in a sealed request (MS-WSMV, section 2.2.9.1). Raises BadSeal."""
        if self._context is None or not self._context.complete:
            raise BadSeal
        _, _, rest = body.partition(b"application/octet-stream\r\n")
        sealed = rest.removesuffix(BOUNDARY + b"--\r\n")
        try:
            (length,) = struct.unpack("<i", sealed[:4])
            plain: bytes = self._context.unwrap_winrm(sealed[4 : 4 + length], sealed[4 + length :])
        except (SpnegoError, struct.error, ValueError):
            raise BadSeal from None
        return plain

    def seal(self, plain: bytes) -> bytes:
        wrapped = self._context.wrap_winrm(plain)
        return b"".join(
            (
                BOUNDARY,
                b"\r\n\tContent-Type: application/HTTP-SPNEGO-session-encrypted\r\n",
                b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d\r\n" % len(plain),
                BOUNDARY,
                b"\r\n\tContent-Type: application/octet-stream\r\n",
                struct.pack("<i", len(wrapped.header)),
                wrapped.header,
                wrapped.data,
                BOUNDARY,
                b"--\r\n",
            )
        )

    def _offers(self) -> list[tuple[str, str]]:
        offers = []
        if "ntlm" in self._transports:
            offers.append(("WWW-Authenticate", "Negotiate"))
        if "credssp" in self._transports:
            offers.append(("WWW-Authenticate", "CredSSP"))
        if "basic" in self._transports:
            offers.append(("WWW-Authenticate", 'Basic realm="WSMAN"'))
        return offers

    def _check_basic(self, value: str) -> None:
        if "basic" not in self._transports or value != self._basic:
            raise Unauthorized(self._offers(), is_refused=True)
        if not self.is_logged_in:
            self.is_logged_in = True
            self.logins += 1

    def _check_certificate(self) -> None:
        if "certificate" not in self._transports or not self._has_certificate:
            raise Unauthorized(self._offers(), is_refused=True)
        if not self.is_logged_in:
            self.is_logged_in = True
            self.logins += 1

    def _step(self, scheme: str, value: str) -> None:
        protocol = "credssp" if scheme.lower() == "credssp" else "ntlm"
        if protocol not in self._transports:
            raise Unauthorized(self._offers(), is_refused=True)
        try:
            token = base64.b64decode(value)
            if self._is_first(protocol, token):
                self._context = spnego.server(protocol=protocol, channel_bindings=self._bindings)
                self.is_logged_in = False
            answer = self._context.step(token) if self._context is not None else None
        except (SpnegoError, binascii.Error, ValueError):
            self._context = None
            raise Unauthorized(self._offers(), is_refused=True) from None
        if self._context is None or not self._context.complete:
            challenge = base64.b64encode(answer or b"").decode()
            raise Unauthorized([("WWW-Authenticate", f"{scheme} {challenge}")])
        self.is_logged_in = True
        self.logins += 1

    def _is_first(self, protocol: str, token: bytes) -> bool:
        """NTLM's NEGOTIATE_MESSAGE (MS-NLMP, section 2.2.1.1), CredSSP's TLS client hello."""
        if protocol == "credssp":
            return self._context is None or self._context.complete
        return token[8:12] == b"\x01\x00\x00\x00"
