"""Where POSTs go: what is found out once a URL."""

from typing import NamedTuple

from dispatcher.core.endpoint_url import EndpointUrl, ends_in_number


class Origin(NamedTuple):
    """What a connection belongs to: requests to the same origin may follow one another on it.

    `identity` names the certificates used for TLS; "" are the system's, and none of our own.
    """

    is_https: bool
    host: str
    port: int
    identity: str = ""

    @property
    def server_name(self) -> str:
        """Return the name that the receiver's certificate must have, which TLS also sends."""
        return self.host.removesuffix(".")


class Target(NamedTuple):
    """`start` is the request line and the Host header; `is_literal`: the host is an address."""

    origin: Origin
    is_literal: bool
    start: str


def target_of(url: EndpointUrl) -> Target:
    return Target(
        Origin(url.is_https, url.host, url.port),
        ":" in url.host or ends_in_number(url.host),
        f"POST {url.target} HTTP/1.1\r\nHost: {url.authority}\r\n",
    )
