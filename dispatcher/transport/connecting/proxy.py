"""Reach receivers through the operator's HTTP proxy, by CONNECT.

The proxy's address is the operator's, so the egress guard does not check it. The proxy looks up the
receiver's name itself: what it may reach is decided by its own rules too.
"""

import asyncio
import os
import re
import socket
from typing import NamedTuple

from dispatcher.core.endpoint_url import ends_in_number
from dispatcher.transport.addresses.egress import Guard
from dispatcher.transport.failures import PostError
from dispatcher.transport.target import Origin

HEAD_LIMIT_BYTES = 16 * 1024
"""Most bytes of the proxy's answer; a longer one is refused."""

AUTHENTICATION_REQUIRED = 407
UNREACHABLE = frozenset({502, 503, 504})
"""Statuses by which a proxy reports that it cannot reach the receiver."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})\b")


class Proxy(NamedTuple):
    """An HTTP proxy. `authorization` is the value of Proxy-Authorization, "" if it needs none."""

    host: str
    port: int
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.host!r}, {self.port})"  # without the credentials

    @property
    def is_literal(self) -> bool:
        """Return True if the host is an IP address."""
        return ":" in self.host or ends_in_number(self.host)

    async def open_tunnel(self, sock: socket.socket, origin: Origin) -> None:
        """Ask the proxy on this connected socket for a tunnel to `origin`. Raise PostError."""
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_sendall(sock, self._request(origin))
            head = b""
            while b"\r\n\r\n" not in head:
                data = await loop.sock_recv(sock, HEAD_LIMIT_BYTES)
                head += data
                if not data or len(head) > HEAD_LIMIT_BYTES:
                    raise _not_a_proxy()
        except OSError:
            raise PostError("connect", "no connection: the proxy broke it off") from None
        _check(head)

    def _request(self, origin: Origin) -> bytes:
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        authority = f"{host}:{origin.port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
        if self.authorization:
            lines.append(f"Proxy-Authorization: {self.authorization}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


class ProxyGuard(Guard):
    """Rules under which the proxy may be dialled at any address."""

    def check_address(self, ip: str, port: int) -> None:
        """Permit the address, as the operator chose it."""


def no_proxy(error: Exception) -> PostError:
    """Return the error of a proxy that cannot be reached, without its address."""
    number = getattr(error, "errno", None)
    reason = os.strerror(number) if number and number > 0 else "none of its addresses answers"
    return PostError("connect", f"no connection to the proxy: {reason}")


def _check(head: bytes) -> None:
    match = _STATUS_LINE.match(head)
    if match is None:
        raise _not_a_proxy()
    status = int(match[1])
    if status == AUTHENTICATION_REQUIRED:
        raise PostError("connect", "no connection: the proxy refuses the credentials (407)")
    if status in UNREACHABLE:
        raise PostError("connect", f"no connection: the proxy cannot reach the receiver ({status})")
    if not 200 <= status <= 299:
        raise PostError("connect", f"no connection: the proxy refuses this receiver ({status})")
    if head.index(b"\r\n\r\n") + 4 != len(head):
        raise _not_a_proxy()  # the receiver does not speak first, so nothing may follow


def _not_a_proxy() -> PostError:
    return PostError("connect", "no connection: the proxy does not answer as one")
