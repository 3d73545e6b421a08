"""Self-signed certificates made at start: for HTTPS hosts, and for clients that log in with one."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from spnego.channel_bindings import GssChannelBindings


@dataclass(frozen=True, slots=True)
class Certificate:
    pem: str
    key_pem: str

    @classmethod
    def made(cls, name: str) -> "Certificate":
        """Valid for a day, for the name and the first addresses of the usual fleets."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        networks = ["127.20.0.0/28", *(f"127.{worker}.2.0/29" for worker in range(40, 56))]
        addresses = [
            x509.IPAddress(address) for network in networks for address in ip_network(network).hosts()
        ]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name), *addresses]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        key_bytes = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return cls(certificate.public_bytes(serialization.Encoding.PEM).decode(), key_bytes.decode())

    @property
    def fingerprint(self) -> str:
        """SHA-256, in hex."""
        return hashlib.sha256(self._der()).hexdigest()

    def bindings(self) -> GssChannelBindings:
        """tls-server-end-point (RFC 5929, section 4.1): what a login over this certificate is bound to."""
        return GssChannelBindings(
            application_data=b"tls-server-end-point:" + hashlib.sha256(self._der()).digest()
        )

    def _der(self) -> bytes:
        return x509.load_pem_x509_certificate(self.pem.encode()).public_bytes(serialization.Encoding.DER)
