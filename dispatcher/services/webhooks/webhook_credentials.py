"""Check the credentials of a webhook, and describe them without their secrets."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization

from dispatcher.core.credentials import tls_identity
from dispatcher.core.errors import InvalidError, Problem
from dispatcher.services.inputs.credential_inputs import Authentication, TlsSettings
from dispatcher.transport.connecting.tls import ClientContext

SUBJECT_LIMIT_CHARACTERS = 500
"""Longest part of a certificate's subject that is shown."""
_SHOWN = ("type", "token_url", "client_id", "scope", "audience", "auth_method")
"""Fields of an authentication that are no secret. A user name may be one: some are API keys."""
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion)


@dataclass(frozen=True, slots=True)
class WebhookAuthentication:
    """How requests of a webhook are authenticated. Its secrets are never shown."""

    type: Literal["basic", "oauth2"]
    token_url: str | None = None
    client_id: str | None = None
    scope: str | None = None
    audience: str | None = None
    auth_method: str | None = None

    @classmethod
    def from_text(cls, text: str | None) -> "WebhookAuthentication | None":
        """Return the authentication of a stored description, None if there is none."""
        return cls(**orjson.loads(text)) if text else None


@dataclass(frozen=True, slots=True)
class WebhookCertificate:
    """A certificate. `fingerprint` is the SHA-256 of it, in hexadecimal."""

    subject: str
    fingerprint: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class WebhookTls:
    """The client certificate of a webhook, and the certificates that it trusts."""

    certificate: WebhookCertificate | None
    ca: tuple[WebhookCertificate, ...]

    @classmethod
    def from_text(cls, text: str | None) -> "WebhookTls | None":
        """Return the certificates of a stored description, None if there are none."""
        if not text:
            return None
        parts = orjson.loads(text)
        own = parts["certificate"]
        return cls(_certificate(own) if own else None, tuple(map(_certificate, parts["ca"])))

    def to_text(self) -> str:
        """Return the description to store."""
        return orjson.dumps(self).decode()


def shown(form: Authentication) -> str:
    """Return the description of an authentication to store beside the encrypted one."""
    return orjson.dumps({n: v for n, v in form.parts().items() if n in _SHOWN}).decode()


def check_tls(form: TlsSettings) -> WebhookTls:
    """Return the description of valid certificates. Raise InvalidError for others.

    It takes 0.1 s for large texts: see `certificate_checks`.
    """
    ca = _read("ca", form.ca)
    chain = _read("certificate", form.certificate)
    if form.key is not None:
        _check_key(form.key, chain[0])
    try:
        # OpenSSL also refuses keys that are too short.
        ClientContext(tls_identity(form.certificate, form.key, form.ca))
    except (ssl.SSLError, OSError, ValueError):
        raise _invalid("certificate" if chain else "ca", "is refused by OpenSSL") from None
    return WebhookTls(_described(chain[0]) if chain else None, tuple(map(_described, ca)))


def check_exclusive(headers: Mapping[str, Any], authentication: object) -> None:
    """Raise InvalidError if both a header and the authentication would write Authorization."""
    if authentication is not None and "authorization" in map(str.lower, headers):
        reason = "cannot be combined with a header Authorization: remove one of them"
        raise InvalidError.field("authentication", reason)


def _read(name: str, pem: str | None) -> list[x509.Certificate]:
    """Return the certificates of a PEM text.

    Raise InvalidError if one cannot be read or has expired.
    """
    if pem is None:
        return []
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
    except _UNREADABLE:
        raise _invalid(name, "must be certificates in PEM") from None
    for certificate in certificates:
        if certificate.not_valid_after_utc <= datetime.now(UTC):
            expired = certificate.not_valid_after_utc.date()
            raise _invalid(name, f"{_subject(certificate)} expired on {expired}")
    return certificates


def _check_key(pem: str, certificate: x509.Certificate) -> None:
    """Raise InvalidError unless the key is the certificate's."""
    try:
        # Proving that an RSA key of 16,384 bits is sound takes seconds.
        key = serialization.load_pem_private_key(
            pem.encode(), None, unsafe_skip_rsa_key_validation=True
        )
        public = key.public_key()
        is_its = public == certificate.public_key()
    except TypeError:
        raise _invalid("key", "must not be encrypted") from None
    except _UNREADABLE:
        raise _invalid("key", "must be a private key in PEM") from None
    if not is_its:
        raise _invalid("key", "is not the key of the certificate")


def _described(certificate: x509.Certificate) -> WebhookCertificate:
    return WebhookCertificate(
        _subject(certificate),
        certificate.fingerprint(hashes.SHA256()).hex(),
        certificate.not_valid_after_utc,
    )


def _subject(certificate: x509.Certificate) -> str:
    try:
        text = certificate.subject.rfc4514_string()
    except ValueError:
        return "(unreadable)"
    return "".join(c if c.isprintable() else "?" for c in text[:SUBJECT_LIMIT_CHARACTERS])


def _certificate(parts: Mapping[str, Any]) -> WebhookCertificate:
    not_after = datetime.fromisoformat(parts["not_after"])
    return WebhookCertificate(parts["subject"], parts["fingerprint"], not_after)


def _invalid(name: str, reason: str) -> InvalidError:
    return InvalidError(Problem(("tls", name), reason))
