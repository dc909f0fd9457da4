"""Limits on connections to the admin port: how many there are, and how long they may be silent.

Connecting needs no token. Without limits, silent connections would keep out other clients and the
health checks, and an orchestrator would then restart the daemon.
"""

import asyncio
from collections import Counter
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, TypeAlias

from aiohttp import StreamReader, web

from dispatcher.api.port.connection_limits import ConnectionLimits
from dispatcher.api.port.first_request import FirstRequest
from dispatcher.api.representations.negotiation import envelope
from dispatcher.api.requests.request_values import request_id
from dispatcher.api.types import HttpError

DROPPED_LIMIT = 16
DROP_PAUSE_SECONDS = 0.02
PART = 16
"""If there are too many connections, at most one in PART of them is dropped at a time."""

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Server": "dispatcher",  # without versions, which would help an attacker
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response that does not set its own value."""


UNREADABLE = HttpError(
    400,
    "bad_request",
    "The request cannot be read. Check that it is HTTP, and that no header is too long.",
)
UNEXPECTED = HttpError(500, "internal", "An unexpected error occurred")


class Connection(web.RequestHandler):
    """A connection served by aiohttp that also tracks whether it is idle and since when."""

    def __init__(
        self, connections: "Connections", first: FirstRequest, server: web.Server, **options: Any
    ) -> None:
        super().__init__(server, **options)
        self._connections = connections
        self._first = first
        self._request: web.BaseRequest | None = None
        self._content: StreamReader | None = None
        self._since = first.since
        self._heard_at: float | None = None
        self.has_answered = False
        self.address = first.address

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._connections.replace(self._first, self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._connections.discard(self)
        super().connection_lost(exc)
        # Otherwise the handler would go on waiting for the rest of a body that cannot come.
        if self._content is not None and not self._content.is_eof():
            self._content.feed_eof()

    def data_received(self, data: bytes) -> None:
        if self._request is None and self._heard_at is None:
            self._heard_at = asyncio.get_running_loop().time()
        super().data_received(data)

    def handle_error(
        self, request: web.BaseRequest, *args: Any, **kwargs: Any
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed, in the envelope, as its headers are unknown.

        The text of aiohttp would repeat what came, with the token in it.
        """
        status, id_ = super().handle_error(request, *args, **kwargs).status, request_id(request)
        failure = UNREADABLE if status == UNREADABLE.status else UNEXPECTED
        response = web.Response(
            status=status,
            body=envelope.write_error(failure, id_),
            content_type=envelope.media_type,
            headers={**HEADERS, "X-Request-Id": id_},
        )
        response.force_close()
        return response

    def began(self, request: web.BaseRequest) -> None:
        """Note that a request is being handled."""
        self._request = request
        self._content = request.content

    def note_end(self) -> None:
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


AnyConnection: TypeAlias = Connection | FirstRequest


class Connections:
    """All open connections."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._open: set[AnyConnection] = set()
        self._of_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: AnyConnection) -> None:
        """Add a connection. If there are too many, drop the least useful ones."""
        self._open.add(connection)
        self._of_address[connection.address] += 1
        if len(self._open) > self._limits.most:
            self._make_room(self._open, connection)
        elif self._is_too_many(connection.address):
            of_it = {
                candidate for candidate in self._open if candidate.address == connection.address
            }
            self._make_room(of_it, connection)

    def replace(self, first: FirstRequest, connection: Connection) -> None:
        """Note that `connection` handles what `first` received, over the same socket."""
        self._open.discard(first)
        self._open.add(connection)

    def discard(self, connection: AnyConnection) -> None:
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
            overdue = [
                candidate for candidate in self._open if candidate.is_overdue(loop.time(), limits)
            ]
            for number, connection in enumerate(overdue):
                connection.drop()
                # Closing many at once would hold up requests, and so would their return at once.
                if number % DROPPED_LIMIT == DROPPED_LIMIT - 1:
                    await asyncio.sleep(DROP_PAUSE_SECONDS)

    def drop_unread(self) -> None:
        """Drop the connections that have sent no request."""
        for connection in [
            candidate for candidate in self._open if isinstance(candidate, FirstRequest)
        ]:
            connection.drop()

    def _is_too_many(self, address: str) -> bool:
        return self._of_address[address] > self._limits.of_one_address and not _is_local(address)

    def _make_room(self, among: set[AnyConnection], newcomer: AnyConnection) -> None:
        """Drop the oldest idle connection; without one, the oldest that waits for a body.

        If there is neither, drop the newcomer. Among idle ones, start with the address that has the
        most connections, and there with a connection that never sent a request. Of those that never
        did, drop several at a time, at most one in PART of all. To find them takes as long as one.
        """
        others = [connection for connection in among if connection is not newcomer]
        idle = [connection for connection in others if connection.is_idle]
        if idle:
            idle.sort(key=lambda c: (-self._of_address[c.address], c.has_answered, c.since))
            unread = [
                connection
                for connection in idle[: len(among) // PART]
                if not connection.has_answered
            ]
            for connection in unread or idle[:1]:
                connection.drop()
            return
        slow = [connection for connection in others if connection.waits_for_body]
        min(slow, key=lambda c: c.since, default=newcomer).drop()


def _is_local(address: str) -> bool:
    with suppress(ValueError):
        return ip_address(address).is_loopback
    return False
