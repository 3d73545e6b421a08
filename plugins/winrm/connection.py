"""From a credential to a pywinrm Protocol: scheme, transport, and whom to trust over TLS.

OpenSSL reads its default authorities in 16 ms of CPU, so contexts are shared by all hosts that trust the
same. They are never shared between hosts that verify and hosts that do not: urllib3 sets a context's mode at
each connect.
"""

import os
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import certifi
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.ssl_ import create_urllib3_context
from winrm import transport as pywinrm_transport
from winrm.protocol import Protocol

from plugins.kit.tasks import InvalidTask, choice_of, needed_text_of, text_of

HTTPS_PORT = 5986
TRANSPORTS = ("ntlm", "basic", "kerberos", "credssp", "certificate")
# Transports whose package is an extra of this project.
EXTRAS = {"kerberos": pywinrm_transport.HAVE_KERBEROS, "credssp": pywinrm_transport.HAVE_CREDSSP}
MAX_REPLY_BYTES = 16 * 1024 * 1024  # Windows' own limit is half a megabyte


class ExtraMissing(Exception):
    """The transport's package is not installed; the message names the extra."""


def protocol(target: str, port: int, credentials: Mapping[str, Any], *, timeout_seconds: float) -> Protocol:
    """Opens nothing yet. Raises InvalidTask and ExtraMissing."""
    transport = transport_of(credentials)
    scheme = choice_of(
        credentials, "scheme", ("http", "https"), "https" if _needs_https(transport, port) else "http"
    )
    if transport == "certificate" and scheme == "http":
        raise InvalidTask("credentials: transport certificate needs scheme https")
    host = f"[{target}]" if ":" in target else target
    # The read time-out is only the last resort behind our own clock; it must exceed the operation's.
    operation_seconds = max(1, int(timeout_seconds))
    return Protocol(
        endpoint=f"{scheme}://{host}:{port}/wsman",
        transport=transport,  # type: ignore[arg-type]  # one of TRANSPORTS
        server_cert_validation="validate"
        if _is_verifying(credentials) or _fingerprint(credentials)
        else "ignore",
        ca_trust_path=certifi.where(),  # only for pywinrm's own looks; the adapter below decides
        operation_timeout_sec=operation_seconds,
        read_timeout_sec=operation_seconds + 5,
        proxy=None,
        **_login(credentials, transport),
    )


def transport_of(credentials: Mapping[str, Any]) -> str:
    """A domain means NTLM, unless a transport is named. Raises InvalidTask and ExtraMissing."""
    transport = choice_of(credentials, "transport", TRANSPORTS, "ntlm")
    if not EXTRAS.get(transport, True):
        raise ExtraMissing(
            f"transport {transport} needs a package that is not installed: pip install 'nms[{transport}]' "
            "where the poll workers run"
        )
    return transport


def prepare(protocol: Protocol, credentials: Mapping[str, Any]) -> None:
    """After pywinrm has built its HTTP session, and each time it does so anew: what it has no parameter
    for.
    """
    session = protocol.transport.build_session()
    # Proxies and .netrc are looked up three times a request otherwise, and never apply here.
    session.trust_env = False
    session.max_redirects = 0  # a login is for this host alone
    session.hooks["response"] = [_refuse_large]
    if protocol.transport.endpoint.startswith("https"):
        session.mount("https://", _Adapter(_context(credentials), _fingerprint(credentials)))
        if transport_of(credentials) == "credssp":
            # With an empty message, as pywinrm does over HTTP: requests_credssp takes whatever is not status
            # 200 in reply to the message that completes a login, a SOAP fault too, for a refused login.
            session.post(protocol.transport.endpoint, timeout=protocol.transport.read_timeout_sec)


def _needs_https(transport: str, port: int) -> bool:
    return port == HTTPS_PORT or transport == "certificate"


def _login(credentials: Mapping[str, Any], transport: str) -> dict[str, Any]:
    if transport == "certificate":
        path = _client_certificate(
            needed_text_of(credentials, "client_cert"), needed_text_of(credentials, "client_key")
        )
        return {"cert_pem": path, "cert_key_pem": path}
    username = needed_text_of(credentials, "username")
    if transport == "kerberos":
        # The ticket is the worker's own (kinit); Kerberos goes by names, so an address needs one.
        return {
            "username": username,
            "kerberos_hostname_override": text_of(credentials, "kerberos_hostname") or None,
        }
    domain = text_of(credentials, "domain")
    return {
        "username": f"{domain}\\{username}" if domain else username,
        "password": needed_text_of(credentials, "password"),
    }


@lru_cache(maxsize=256)
def _client_certificate(certificate: str, key: str) -> str:
    """The path of both as one file, as OpenSSL wants it: in memory only, since a key has no business on a
    disk.
    """
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(descriptor), "w") as file:
        file.write(f"{certificate.strip()}\n{key.strip()}\n")
    return f"/proc/self/fd/{descriptor}"


def _is_verifying(credentials: Mapping[str, Any]) -> bool:
    return credentials.get("verify", True) is not False


def _fingerprint(credentials: Mapping[str, Any]) -> str:
    """SHA-256 of the one certificate to accept, as hex; "" where none is pinned."""
    digits = text_of(credentials, "cert_fingerprint").replace(":", "").replace(" ", "").lower()
    if digits and (len(digits) != 64 or set(digits) - set("0123456789abcdef")):
        raise InvalidTask("credentials: cert_fingerprint must be SHA-256: 64 hexadecimal digits")
    return digits


def _context(credentials: Mapping[str, Any]) -> ssl.SSLContext:
    path = ""
    if transport_of(credentials) == "certificate":
        path = _login(credentials, "certificate")["cert_pem"]
    if _fingerprint(credentials) or not _is_verifying(credentials):
        return _unverified_context(path)
    return _verifying_context(path, text_of(credentials, "ca_cert"))


@lru_cache(maxsize=256)
def _verifying_context(client_certificate: str, ca_cert: str) -> ssl.SSLContext:
    """By the given authority alone, else by those of the system and of certifi."""
    # urllib3's, which allows client certificates after the handshake, as Windows Server 2022 wants them.
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED)
    context.check_hostname = True
    try:
        if ca_cert:
            context.load_verify_locations(cadata=ca_cert)
        else:
            context.load_default_certs()
            context.load_verify_locations(certifi.where())
    except ssl.SSLError:
        raise InvalidTask("credentials: ca_cert is no certificate in PEM form") from None
    return _with_client_certificate(context, client_certificate)


@lru_cache(maxsize=256)
def _unverified_context(client_certificate: str) -> ssl.SSLContext:
    """For hosts nobody verifies, and for those whose certificate urllib3 compares itself."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_NONE)
    context.check_hostname = False
    return _with_client_certificate(context, client_certificate)


def _with_client_certificate(context: ssl.SSLContext, path: str) -> ssl.SSLContext:
    if path:
        try:
            context.load_cert_chain(path)
        except (ssl.SSLError, OSError):
            raise InvalidTask(
                "credentials: client_cert and client_key must be a certificate and its key, "
                "without a passphrase, as PEM"
            ) from None
    return context


class ReplyTooLarge(requests.RequestException):
    """A reply that no Windows host would send."""


class _Adapter(HTTPAdapter):
    """One connection to one host, with the given TLS context instead of one made for each."""

    def __init__(self, context: ssl.SSLContext, fingerprint: str) -> None:
        self._context = context
        self._fingerprint = fingerprint
        super().__init__(pool_connections=1, pool_maxsize=1)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        host, found = super().build_connection_pool_key_attributes(request, verify, None)
        pool: dict[str, Any] = {**found, "ssl_context": self._context}
        pool.pop("ca_certs", None)
        pool.pop("ca_cert_dir", None)
        if self._fingerprint:
            pool |= {"assert_fingerprint": self._fingerprint, "cert_reqs": "CERT_NONE"}
        return host, pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """requests would load its authorities and the client's certificate at each request; the context has
        them.
        """


def _refuse_large(response: requests.Response, **_: Any) -> None:
    """Before the body is read."""
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) > MAX_REPLY_BYTES:
        response.close()
        raise ReplyTooLarge(f"a reply of {length} bytes")
