"""Derive from an endpoint URL what every POST to it needs."""

from typing import NamedTuple

from dispatcher.core.credentials import TlsIdentity
from dispatcher.core.endpoint_url import EndpointUrl, ends_in_number


class Origin(NamedTuple):
    """The key of a connection: requests to the same origin may share it, one after another.

    `identity` has the certificates used for TLS; None means those of the system, and no client
    certificate.
    """

    is_https: bool
    host: str
    port: int
    identity: TlsIdentity | None = None

    @property
    def server_name(self) -> str:
        """Return the host name for the certificate check and for TLS server name indication."""
        return self.host.removesuffix(".")


class Target(NamedTuple):
    """The destination of a POST.

    `start` is the request line and the Host header. `is_literal` is True if the host is an IP
    address.
    """

    origin: Origin
    is_literal: bool
    start: str


def target_of(url: EndpointUrl, identity: TlsIdentity | None = None) -> Target:
    """Return the destination of a parsed URL. Without TLS, `identity` is not used."""
    return Target(
        Origin(url.is_https, url.host, url.port, identity if url.is_https else None),
        ":" in url.host or ends_in_number(url.host),
        f"POST {url.target} HTTP/1.1\r\nHost: {url.authority}\r\n",
    )
