"""Certificates made on the spot, for receivers that speak TLS, rightly or wrongly."""

import ssl
import warnings
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

LOCAL = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
ELSEWHERE = x509.SubjectAlternativeName([x509.DNSName("elsewhere.example")])


class Authority:
    """A certificate authority with its files in `directory`; clients trust `root` to trust it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self._made = 0
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=10))
            .not_valid_after(now + timedelta(days=10))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.root = directory / "root.pem"
        self.root.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(
        self,
        *,
        names: x509.SubjectAlternativeName | None = LOCAL,
        from_day: int = -1,
        to_day: int = 1,
        self_signed: bool = False,
    ) -> ssl.SSLContext:
        """A server's context; its certificate is valid between two days counted from today."""
        path = self.certificate(names, from_day, to_day, self_signed=self_signed)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def demanding(self) -> ssl.SSLContext:
        """A server's context that asks for a client certificate of this authority."""
        context = self.server()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.root)
        return context

    def client(self, *, from_day: int = -1, to_day: int = 1) -> tuple[str, str]:
        """A client's certificate and its key, as PEM texts."""
        both = self.certificate(None, from_day, to_day).read_text()
        at = both.index("-----BEGIN CERTIFICATE")
        return both[at:], both[:at]

    def certificate(
        self,
        names: x509.SubjectAlternativeName | None = LOCAL,
        from_day: int = -1,
        to_day: int = 1,
        *,
        self_signed: bool = False,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    ) -> Path:
        """A file with a server's key and certificate; without a `key`, one is made."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=from_day))
            .not_valid_after(now + timedelta(days=to_day))
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(key if self_signed else self._key, hashes.SHA256())
        self._made += 1
        path = self._directory / f"server-{self._made}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path


def at_most(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    """The same context, speaking no newer version, old ones included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = min(version, context.minimum_version)
        context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context
