"""Run exchanges (one request and its answer) on a connection to a receiver, one at a time."""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import cast

from dispatcher.transport.answer import Answer
from dispatcher.transport.answer_head import NotHttpError

JOINED_BYTES = 32 * 1024
"""A body of up to this many bytes is joined with its head, so that one packet can carry both."""

PIECE_BYTES = 32 * 1024
"""A larger body is written in pieces of this size, as the transport copies what it cannot send."""

READ_BYTES = 16 * 1024
"""Most bytes read and parsed at once, so that no receiver blocks the event loop."""


class Outbox:
    """The requests of one iteration of the event loop, written together at its end.

    The first write to a sleeping receiver wakes it, which costs as much as the rest of the request.
    The following writes find it awake.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[asyncio.WriteTransport, bytes]] = []

    def put(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write `data` at the end of this iteration of the event loop."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append((transport, data))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():  # otherwise the connection has reported its end already
                transport.write(data)


class EndedError(Exception):
    """The connection ended before an answer; `cause` is the transport's error, None if none."""

    def __init__(self, cause: Exception | None) -> None:
        super().__init__("the connection ended before an answer")
        self.cause = cause


class Connection(asyncio.BufferedProtocol):
    """A connection for one exchange after another.

    `view` is the read buffer, which all connections of a sender share: each read is parsed before
    the next one. `on_lost` is called once, when the connection has ended.
    """

    __slots__ = (
        "_is_paused",
        "_loop",
        "_on_lost",
        "_outbox",
        "_unwritten",
        "_view",
        "_waiter",
        "_waits_for_end",
        "answer",
        "first_byte_at",
        "idle_until",
        "is_closing",
        "is_lost",
        "served",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
        view: memoryview,
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self._loop = loop
        self._outbox = outbox
        self._view = view
        self._on_lost = on_lost
        self._is_paused = False
        self._unwritten: memoryview | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._waits_for_end = False
        self.answer: Answer | None = None
        self.first_byte_at = 0.0
        self.is_lost = False
        self.is_closing = False
        self.idle_until = 0.0
        self.served = 0

    # ── called by the sender ─────────────────────────────────────────────────────────────────────

    def post(self, head: bytes, body: bytes, answer: Answer) -> asyncio.Future[None]:
        """Send a request; return a future that is done when `answer` has a status.

        The future raises EndedError or NotHttpError if there is no status.
        """
        self.answer = answer
        self.first_byte_at = 0.0
        self._waits_for_end = False
        waiter = self._waiter = self._loop.create_future()
        if self.is_closing:
            self._fail(EndedError(None))
        elif len(body) <= JOINED_BYTES:
            self._outbox.put(self.transport, head + body)
        else:
            self.transport.write(head)
            self._unwritten = memoryview(body)
            self._write_on()
        return waiter

    def end_of_answer(self) -> asyncio.Future[None]:
        """Return a future that is done when the rest of the answer has arrived or has ended."""
        self._waits_for_end = True
        waiter = self._waiter = self._loop.create_future()
        if self.answer is None or self.answer.ended:
            waiter.set_result(None)
        return waiter

    @property
    def is_unsent(self) -> bool:
        """Return True while part of the request is not sent yet."""
        return self._unwritten is not None or (
            not self.is_closing and self.transport.get_write_buffer_size() > 0
        )

    @property
    def is_reusable(self) -> bool:
        """Return True if the exchange has ended and another one may follow on the connection."""
        answer = self.answer
        return (
            answer is not None
            and answer.keeps_alive
            and answer.ended
            and not self.is_closing
            and not self.is_unsent
        )

    def rest(self) -> None:
        """Remove the ended exchange; bytes that arrive before the next one close the connection."""
        self.served += 1
        self.answer = None
        self._waiter = None

    def abort(self) -> None:
        """Close at once; a running exchange ends with EndedError."""
        self._unwritten = None
        if not self.is_lost:
            self.is_closing = True
            self.transport.abort()

    # ── called by the transport ──────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.transport.set_write_buffer_limits(high=PIECE_BYTES)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        answer = self.answer
        if answer is None or answer.ended:
            self.abort()  # these bytes belong to no request
            return
        if not self.first_byte_at:
            self.first_byte_at = monotonic()
        try:
            has_ended = answer.feed(bytes(self._view[:nbytes]))
        except NotHttpError as error:
            self._fail(error)
            return
        if has_ended or (answer.status and not self._waits_for_end):
            self._wake()
        if has_ended and not answer.keeps_alive:
            self.abort()

    def eof_received(self) -> None:
        """Let the transport close, as the receiver sends nothing more."""
        self.is_closing = True

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._write_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = self.is_closing = True
        self._unwritten = None
        if self.answer is not None and not self.answer.ended:
            if self.answer.end_of_input(clean=exc is None):
                self._wake()
            else:
                self._fail(EndedError(exc))
        self._on_lost(self)

    def _write_on(self) -> None:
        while self._unwritten is not None and not self._is_paused:
            piece, rest = self._unwritten[:PIECE_BYTES], self._unwritten[PIECE_BYTES:]
            self._unwritten = rest if len(rest) else None
            self.transport.write(piece)

    def _wake(self) -> None:
        """Wake the sender, which waits for a status or for the end of the answer."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self.abort()
