"""Limits on connections to the admin port: how many there are, and how long they may be silent.

Connecting needs no token. Without limits, silent connections would keep out other clients and the
health checks, and an orchestrator would then restart the daemon.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from aiohttp import web

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Server": "dispatcher",  # without versions, which would help an attacker
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response that does not set its own value."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits on connections to the admin port.

    `most` is the number of connections at a time, and `of_one_address` the number from one address.
    The latter does not apply to loopback, where reverse proxies run. A connection is closed if its
    first request takes more than `head_seconds`, if it is silent for `silent_seconds`, or if it
    does not read a response within `write_seconds`.
    """

    most: int = 512
    of_one_address: int = 64
    head_seconds: float = 5.0
    silent_seconds: float = 20.0
    write_seconds: float = 60.0


class Connection(web.RequestHandler):
    """A connection served by aiohttp that also tracks whether it is idle and since when."""

    def __init__(self, connections: "Connections", server: web.Server, **options: Any) -> None:
        super().__init__(server, **options)
        self._connections = connections
        self._request: web.BaseRequest | None = None
        self._since = asyncio.get_running_loop().time()
        self._heard_at: float | None = None
        self.has_answered = False
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._connections.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._request is None and self._heard_at is None:
            self._heard_at = asyncio.get_running_loop().time()
        super().data_received(data)

    def handle_error(self, *args: Any, **kwargs: Any) -> web.StreamResponse:
        """Answer a request that could not be parsed, with the headers of every response."""
        response = super().handle_error(*args, **kwargs)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def began(self, request: web.BaseRequest) -> None:
        """Note that a request is being handled."""
        self._request = request

    def ended(self) -> None:
        """Note that the request was handled and its response is being sent, or was sent."""
        self._request = None
        self._heard_at = None
        self._since = asyncio.get_running_loop().time()
        self.has_answered = True

    @property
    def is_idle(self) -> bool:
        """Return True if no request is being handled."""
        return self._request is None

    @property
    def waits_for_body(self) -> bool:
        """Return True if the body of the current request has not arrived completely."""
        return self._request is not None and not self._request.content.is_eof()

    @property
    def since(self) -> float:
        """Return when the connection was opened or last answered, in event loop time."""
        return self._since

    def is_overdue(self, now: float, limits: ConnectionLimits) -> bool:
        """Return True if the connection has handled no request for longer than `limits` allow.

        `now` is the event loop's time in seconds.
        """
        if self._request is not None:
            return False
        transport = self.transport
        if self.has_answered and transport is not None and transport.get_write_buffer_size():
            return now - self._since > limits.write_seconds
        if not self.has_answered:
            return now - self._since > limits.head_seconds
        late = self._heard_at is not None and now - self._heard_at > limits.head_seconds
        return late or now - self._since > limits.silent_seconds

    def drop(self) -> None:
        """Close the connection at once."""
        self._connections.discard(self)
        transport = self.transport
        if transport is not None:
            transport.abort()


class Connections:
    """All open connections."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._open: set[Connection] = set()
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> None:
        """Add a connection. If there are too many, drop the least useful one."""
        self._open.add(connection)
        self._of_address[connection.address] += 1
        if len(self._open) > self._limits.most:
            self._drop_one(self._open, connection)
        elif self._is_too_many(connection.address):
            of_it = {each for each in self._open if each.address == connection.address}
            self._drop_one(of_it, connection)

    def discard(self, connection: Connection) -> None:
        """Forget a connection, if it is known."""
        if connection in self._open:
            self._open.remove(connection)
            self._of_address[connection.address] -= 1
            if not self._of_address[connection.address]:
                del self._of_address[connection.address]

    async def watch(self) -> None:
        """Drop connections that are silent for too long, until cancelled."""
        limits = self._limits
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(1.0, limits.head_seconds / 4, limits.silent_seconds / 4))
            for connection in [c for c in self._open if c.is_overdue(loop.time(), limits)]:
                connection.drop()

    def _is_too_many(self, address: str) -> bool:
        return self._of_address[address] > self._limits.of_one_address and not _is_local(address)

    def _drop_one(self, among: set[Connection], newcomer: Connection) -> None:
        """Drop the oldest idle connection; without one, the oldest that waits for a body.

        If there is neither, drop the newcomer. Among idle ones, start with the address that has the
        most connections, and there with a connection that never sent a request.
        """
        others = [each for each in among if each is not newcomer]
        idle = [each for each in others if each.is_idle]
        slow = [each for each in others if each.waits_for_body]
        if idle:
            worst = min(idle, key=lambda c: (-self._of_address[c.address], c.has_answered, c.since))
        else:
            worst = min(slow, key=lambda c: c.since, default=newcomer)
        worst.drop()


def _is_local(address: str) -> bool:
    with suppress(ValueError):
        return ip_address(address).is_loopback
    return False
