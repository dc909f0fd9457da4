"""The credentials of an endpoint, beside its signing secret: how requests show who sends them.

They are stored encrypted, as the JSON texts that `parse_authentication` and `parse_tls` read.
"""

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any, Literal

AuthMethod = Literal["client_secret_basic", "client_secret_post"]
"""Where a client's secret goes in a token request: into a header, or into the body (RFC 7591)."""


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """A user name and a password for HTTP basic authentication (RFC 7617)."""

    username: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def authorization(self) -> str:
        """Return the value of the header Authorization."""
        return basic(self.username, self.password)


@dataclass(frozen=True, slots=True)
class OAuth2Client:
    """A client of an OAuth 2 token server, with the grant `client_credentials` (RFC 6749)."""

    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    audience: str | None = None
    auth_method: AuthMethod = "client_secret_basic"


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """The certificates of TLS connections to an endpoint, as PEM texts.

    `name` is a hash of the rest, so it alone is compared. `certificate` and `key` identify the
    dispatcher; `ca` holds the certificates to trust in place of the system's. None if not set.
    """

    name: str
    certificate: str | None = field(repr=False, compare=False)
    key: str | None = field(repr=False, compare=False)
    ca: str | None = field(repr=False, compare=False)


def tls_identity(certificate: str | None, key: str | None, ca: str | None) -> TlsIdentity:
    """Return the identity with its name."""
    parts = json.dumps([certificate, key, ca]).encode()
    return TlsIdentity(hashlib.sha256(parts).hexdigest(), certificate, key, ca)


def basic(username: str, password: str) -> str:
    """Return the value of an Authorization header for HTTP basic authentication."""
    return f"Basic {b64encode(f'{username}:{password}'.encode()).decode()}"


def parse_authentication(text: str) -> BasicCredentials | OAuth2Client:
    """Return the credentials of a decrypted JSON text.

    Raise TypeError or ValueError if the text does not hold credentials.
    """
    parts = _parts(text)
    kind = parts.pop("type", None)
    if kind == "basic":
        return BasicCredentials(**parts)
    if kind == "oauth2":
        return OAuth2Client(**parts)
    raise ValueError("an authentication of an unknown type")


def parse_tls(text: str) -> TlsIdentity:
    """Return the TLS identity of a decrypted JSON text.

    Raise TypeError or ValueError if the text does not hold one.
    """
    parts = _parts(text)
    return tls_identity(parts.get("certificate"), parts.get("key"), parts.get("ca"))


def _parts(text: str) -> dict[str, Any]:
    parts = json.loads(text)
    if not isinstance(parts, dict) or not all(isinstance(v, str | None) for v in parts.values()):
        raise TypeError("credentials must be an object of texts")
    return parts
