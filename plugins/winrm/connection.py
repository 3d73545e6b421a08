"""From a credential to a pywinrm Protocol: scheme, transport, and whom to trust over TLS.

OpenSSL reads its default authorities in 16 ms of CPU, so contexts are shared by all hosts that trust the
same. They are never shared between hosts that verify and hosts that do not: urllib3 sets a context's mode at
each connect.
"""

import os
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache, partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import certifi
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from urllib3.util.ssl_ import create_urllib3_context
from winrm import transport as pywinrm_transport
from winrm.protocol import Protocol

from plugins.kit.tasks import InvalidTask, choice_of, needed_text_of, text_of
from plugins.winrm.replies import POOLS
from plugins.winrm.wsman import xml_repaired

HTTPS_PORT = 5986
TRANSPORTS = ("ntlm", "basic", "kerberos", "credssp", "certificate")
# Transports whose package is an extra of this project.
EXTRAS = {"kerberos": pywinrm_transport.HAVE_KERBEROS, "credssp": pywinrm_transport.HAVE_CREDSSP}
PEM_BLOCK = re.compile("-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\\s]+-----END CERTIFICATE-----")


class ExtraMissing(Exception):
    """The transport's package is not installed; the message names the extra."""


def protocol(target: str, port: int, credentials: Mapping[str, Any], *, timeout_seconds: float) -> Protocol:
    """Opens nothing yet. Raises InvalidTask and ExtraMissing."""
    transport = transport_of(credentials)
    default = "https" if port == HTTPS_PORT or transport == "certificate" else "http"
    scheme = choice_of(credentials, "scheme", ("http", "https"), default)
    if transport == "certificate" and scheme == "http":
        raise InvalidTask("credentials: transport certificate needs scheme https")
    host = f"[{target}]" if ":" in target else target
    # The read time-out is only the last resort behind our own clock; it must exceed the operation's.
    operation_seconds = max(1, int(timeout_seconds))
    with _login(credentials, transport) as login:
        return Protocol(
            endpoint=f"{scheme}://{host}:{port}/wsman",
            transport=transport,  # type: ignore[arg-type]  # one of TRANSPORTS
            server_cert_validation="validate",  # only for pywinrm's own looks; our adapter decides
            ca_trust_path=certifi.where(),
            operation_timeout_sec=operation_seconds,
            read_timeout_sec=operation_seconds + 5,
            proxy=None,
            **login,
        )


def transport_of(credentials: Mapping[str, Any]) -> str:
    """Basic knows local accounts only: with a domain it is NTLM. Raises InvalidTask and ExtraMissing."""
    transport = choice_of(credentials, "transport", TRANSPORTS, "ntlm")
    if transport == "basic" and text_of(credentials, "domain"):
        return "ntlm"
    if not EXTRAS.get(transport, True):
        raise ExtraMissing(
            f"transport {transport} needs a package that is not installed; on the poll workers, run "
            f"pip install 'pywinrm[{transport}]'"
        )
    return transport


def prepare(protocol: Protocol, credentials: Mapping[str, Any]) -> None:
    """Builds pywinrm's HTTP session, each time it was closed anew, with what pywinrm has no parameter for.

    Where messages are sealed pywinrm logs in while it builds: here that waits until the session is safe to
    use.
    """
    transport: Any = protocol.transport
    transport._get_message_response_text = partial(_message_text, transport)
    logins: list[requests.Session] = []
    transport.setup_encryption = logins.append
    try:
        session = transport.build_session()
    finally:
        del transport.setup_encryption  # the class's own shows again
    _harden(session, credentials)
    if logins:
        transport.setup_encryption(session)
    elif transport_of(credentials) == "credssp":
        # With an empty message: requests_credssp takes whatever is not status 200 in reply to the message
        # that completes a login, a SOAP fault too, for a refused login.
        session.post(transport.endpoint, timeout=transport.read_timeout_sec)


def _message_text(transport: Any, response: requests.Response) -> bytes:
    """In place of pywinrm's, which leaves a reply as the host encoded it."""
    return xml_repaired(type(transport)._get_message_response_text(transport, response))


def _harden(session: requests.Session, credentials: Mapping[str, Any]) -> None:
    # Proxies and .netrc are looked up three times a request otherwise, and never apply here.
    session.trust_env = False
    session.max_redirects = 0  # a login is for this host alone
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["Accept-Encoding"] = "identity"
    session.mount("http://", _Adapter(None, ""))
    session.mount("https://", _Adapter(_context(credentials), _fingerprint(credentials)))
    if transport_of(credentials) == "basic":
        # requests would fail on what is not Latin-1 (RFC 7617 has UTF-8).
        session.auth = HTTPBasicAuth(
            needed_text_of(credentials, "username").encode(), needed_text_of(credentials, "password").encode()
        )


@contextmanager
def _login(credentials: Mapping[str, Any], transport: str) -> Iterator[dict[str, Any]]:
    """pywinrm's arguments."""
    if transport == "certificate":
        # pywinrm wants to see the files; who uses them is the context.
        with _client_certificate(_certificate_and_key(credentials)) as path:
            yield {"cert_pem": path, "cert_key_pem": path}
        return
    username = needed_text_of(credentials, "username")
    if transport == "kerberos":
        # The ticket is the worker's own (kinit); Kerberos goes by names, so an address needs one.
        hostname = text_of(credentials, "kerberos_hostname") or None
        yield {"username": username, "kerberos_hostname_override": hostname}
        return
    domain = text_of(credentials, "domain")
    yield {
        "username": f"{domain}\\{username}" if domain else username,
        "password": needed_text_of(credentials, "password"),
    }


def _certificate_and_key(credentials: Mapping[str, Any]) -> str:
    """Both as one text, as OpenSSL wants them in a file."""
    certificate, key = (needed_text_of(credentials, name).strip() for name in ("client_cert", "client_key"))
    return f"{certificate}\n{key}\n"


@contextmanager
def _client_certificate(pem: str) -> Iterator[str]:
    """The path of a file in memory: a key has no business on a disk."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem.encode())
        file.flush()
        yield f"/proc/self/fd/{descriptor}"


def _is_verifying(credentials: Mapping[str, Any]) -> bool:
    return credentials.get("verify", True) is not False


def _fingerprint(credentials: Mapping[str, Any]) -> str:
    """SHA-256 of the one certificate to accept, as hex; "" where none is pinned."""
    digits = text_of(credentials, "cert_fingerprint").replace(":", "").replace(" ", "").lower()
    if digits and (len(digits) != 64 or set(digits) - set("0123456789abcdef")):
        raise InvalidTask("credentials: cert_fingerprint must be SHA-256: 64 hexadecimal digits")
    return digits


def _context(credentials: Mapping[str, Any]) -> ssl.SSLContext:
    client = _certificate_and_key(credentials) if transport_of(credentials) == "certificate" else ""
    if _fingerprint(credentials) or not _is_verifying(credentials):
        return _unverified_context(client)
    return _verifying_context(client, text_of(credentials, "ca_cert"))


@lru_cache(maxsize=256)
def _verifying_context(client_certificate: str, ca_cert: str) -> ssl.SSLContext:
    """By the given authority alone, else by those of the system and of certifi."""
    # urllib3's, which allows client certificates after the handshake, as Windows Server 2022 wants them.
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.check_hostname = True
    try:
        if ca_cert:
            context.load_verify_locations(cadata="\n".join(PEM_BLOCK.findall(ca_cert)))
        else:
            context.load_default_certs()
            context.load_verify_locations(certifi.where())
    except (ssl.SSLError, ValueError):
        raise InvalidTask("credentials: ca_cert is no certificate in PEM form") from None
    return _with_client_certificate(context, client_certificate)


@lru_cache(maxsize=256)
def _unverified_context(client_certificate: str) -> ssl.SSLContext:
    """For hosts nobody verifies, and for those whose certificate urllib3 compares itself."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_NONE)
    context.check_hostname = False
    return _with_client_certificate(context, client_certificate)


def _with_client_certificate(context: ssl.SSLContext, pem: str) -> ssl.SSLContext:
    if pem:
        try:
            with _client_certificate(pem) as path:
                context.load_cert_chain(path)
        except (ssl.SSLError, OSError):
            raise InvalidTask(
                "credentials: client_cert and client_key must be a certificate and its key, "
                "without a passphrase, as PEM"
            ) from None
    return context


class _Adapter(HTTPAdapter):
    """One connection to one host, with bounded replies and a TLS context that hosts share."""

    def __init__(self, context: ssl.SSLContext | None, fingerprint: str) -> None:
        self._context = context
        self._fingerprint = fingerprint
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        host, found = super().build_connection_pool_key_attributes(request, verify, None)
        pool: dict[str, Any] = dict(found)
        if host["scheme"] == "https":
            pool["ssl_context"] = self._context
            pool["cert_reqs"] = self._context.verify_mode.name if self._context else "CERT_REQUIRED"
            pool.pop("ca_certs", None)
            pool.pop("ca_cert_dir", None)
            if self._fingerprint:
                pool["assert_fingerprint"] = self._fingerprint
        return host, pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """requests would load its authorities and the client's certificate at each request; the context
        has them.
        """

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:
        resp.stream = partial(_undecoded, resp.stream)
        return super().build_response(req, resp)


def _undecoded(
    stream: Callable[..., Iterator[bytes]], amt: int, decode_content: bool | None = None
) -> Iterator[bytes]:
    """Return the body as it came: decompressing has no bound, and we asked for no compression."""
    return stream(amt, decode_content=False)
