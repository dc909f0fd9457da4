"""A connection to the admin port until the head of its first request is complete.

Connecting needs no token, so a connection that sends nothing must cost next to nothing. aiohttp's
handler, with its parser, its task and its timer, is made when there is a request to handle.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from dispatcher.api.port.connection_limits import ConnectionLimits

ENDS = (b"\n\r\n", b"\n\n")
BUFFER_BYTES = 8 * 1024
"""Beyond this the parser gets what came, and refuses it if the head is too long."""


class FirstRequest(asyncio.Protocol):
    """A connection that has sent no complete head yet.

    `opened` and `closed` are called with the connection. `handled` is called with it once there is
    a request, and returns the protocol that takes over.
    """

    is_idle = True
    waits_for_body = False
    has_answered = False

    def __init__(
        self,
        opened: Callable[["FirstRequest"], None],
        closed: Callable[["FirstRequest"], None],
        handled: Callable[["FirstRequest"], asyncio.Protocol],
    ) -> None:
        self._opened = opened
        self._closed = closed
        self._handled = handled
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self.since = asyncio.get_running_loop().time()
        self.address = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Keep the data, or hand the connection over if a head is complete."""
        self._received += data
        if self._transport is not None and self._is_ready():
            transport, self._transport = self._transport, None
            protocol = self._handled(self)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            protocol.data_received(bytes(self._received))

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop counting the connection."""
        self._closed(self)

    def is_overdue(self, now: float, limits: ConnectionLimits) -> bool:
        """Return True if the head took longer than allowed. `now` is the event loop's time."""
        return now - self.since > limits.head_seconds

    def drop(self) -> None:
        """Close the connection at once."""
        self._closed(self)
        if self._transport is not None:
            self._transport.abort()

    def _is_ready(self) -> bool:
        """Return True if the head is complete, longer than BUFFER_BYTES, or no head at all."""
        received = self._received
        if len(received) > BUFFER_BYTES or not received[:1].isalpha():
            return True
        return any(end in received for end in ENDS)
