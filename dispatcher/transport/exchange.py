"""Run exchanges (one request and its answer) on a connection to a receiver, one at a time."""

import asyncio
import math
from collections.abc import Callable
from time import monotonic
from typing import cast

from dispatcher.transport.answer import PARSED_BYTES, Answer
from dispatcher.transport.answer_head import REQUEST_TIMEOUT, NotHttpError
from dispatcher.transport.deadlines import Deadlines, Queue

JOINED_BYTES = 32 * 1024
"""A body of up to this many bytes is joined with its head, so that one packet can carry both."""

PIECE_BYTES = 32 * 1024
"""A larger body is written in pieces of this size, as the transport copies what it cannot send."""

BODY_SECONDS = 2.0
"""Time for the rest of an answer after its status line."""


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


class ExchangeError(Exception):
    """The exchange ended without a status."""


class EndedError(ExchangeError):
    """The connection ended before an answer; `cause` is the transport's error, None if none."""

    def __init__(self, cause: Exception | None) -> None:
        super().__init__("the connection ended before an answer")
        self.cause = cause


class ExpiredError(ExchangeError):
    """There was no status before the deadline.

    `is_unsent` is True if part of the request was not sent yet.
    """

    def __init__(self, *, is_unsent: bool) -> None:
        super().__init__("no status before the deadline")
        self.is_unsent = is_unsent


class Connection(asyncio.Protocol):
    """A connection for one exchange after another.

    `on_lost` is called once, when the connection has ended.
    """

    __slots__ = (
        "_deadlines",
        "_is_aborted",
        "_is_paused",
        "_is_scheduled",
        "_is_shortened",
        "_loop",
        "_on_lost",
        "_outbox",
        "_queue",
        "_unwritten",
        "_waiter",
        "answer",
        "first_byte_at",
        "idle_until",
        "is_closing",
        "is_lost",
        "served",
        "transport",
        "when",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        outbox: Outbox,
        deadlines: Deadlines,
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self._loop = loop
        self._outbox = outbox
        self._deadlines = deadlines
        self._on_lost = on_lost
        self._queue: Queue = {}
        self._is_aborted = False
        self._is_paused = False
        self._is_scheduled = False
        self._is_shortened = False
        self._unwritten: memoryview | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.answer: Answer | None = None
        self.first_byte_at = 0.0
        self.is_lost = False
        self.is_closing = False
        self.idle_until = 0.0
        self.served = 0
        self.when = math.inf

    # ── called by the sender ─────────────────────────────────────────────────────────────────────

    def post(
        self, head: bytes, body: bytes, answer: Answer, seconds: float
    ) -> asyncio.Future[None]:
        """Send a request; return a future that is done when `answer` has all that is waited for.

        A status is waited for until the deadline, in `seconds`, the rest of the answer for at most
        BODY_SECONDS more. The future raises ExchangeError or NotHttpError if there is no status.
        """
        self.answer = answer
        self.first_byte_at = 0.0
        self._is_shortened = False
        waiter = self._waiter = self._loop.create_future()
        if self.is_closing:
            self._fail(EndedError(None))
            return waiter
        self._queue = self._deadlines.start(self, seconds)
        if len(body) <= JOINED_BYTES:
            self._outbox.put(self.transport, head + body)
        else:
            self.transport.write(head)
            self._unwritten = memoryview(body)
            self._write_on()
        return waiter

    @property
    def is_unsent(self) -> bool:
        """Return True while part of the request is not sent yet."""
        return self._unwritten is not None or (
            not self.is_closing and self.transport.get_write_buffer_size() > 0
        )

    def rest(self) -> bool:
        """Remove the ended exchange, and return True if another one may follow.

        Bytes that arrive before the next exchange close the connection.
        """
        answer = self.answer
        if (
            answer is None
            or not answer.keeps_alive
            or not answer.ended
            or self.is_closing
            or self.is_unsent
        ):
            return False
        self.served += 1
        self.answer = None
        return True

    def abort(self) -> None:
        """Close at once; a running exchange ends with EndedError."""
        self._unwritten = None
        self._queue.pop(self, None)
        if not self.is_lost:
            self._is_aborted = self.is_closing = True
            self.transport.abort()

    def expire(self) -> None:
        """End the exchange, as its time is over: with a status it has an outcome, else an error."""
        if self.answer is not None and self.answer.status:
            self._settle()
            self.abort()
        else:
            self._fail(ExpiredError(is_unsent=self.is_unsent))

    # ── called by the transport ──────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.transport.set_write_buffer_limits(high=PIECE_BYTES)

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if answer is None or answer.ended:
            self.abort()  # these bytes belong to no request
            return
        if not self.first_byte_at:
            self.first_byte_at = monotonic()
        try:
            has_ended = (answer.feed if len(data) <= PARSED_BYTES else answer.feed_pieces)(data)
        except NotHttpError as error:
            self._fail(error)
            return
        if has_ended:
            self._settle()
            if not answer.keeps_alive:
                self.abort()
        elif answer.status:
            self._wait_for_the_rest(answer.status)

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
        answer = self.answer
        if answer is not None and not answer.ended:
            if answer.end_of_input(clean=exc is None and not self._is_aborted):
                self._settle()
            else:
                self._fail(EndedError(exc))
        self._on_lost(self)

    def _write_on(self) -> None:
        """Write one piece in each iteration of the event loop.

        Otherwise large bodies to many receivers, megabytes that the kernel takes at once, would hold
        the loop.
        """
        if self._unwritten is None or self._is_paused or self._is_scheduled:
            return
        piece, rest = self._unwritten[:PIECE_BYTES], self._unwritten[PIECE_BYTES:]
        self._unwritten = rest if len(rest) else None
        self.transport.write(piece)
        if self._unwritten is not None:
            self._is_scheduled = True
            self._loop.call_soon(self._write_next)

    def _write_next(self) -> None:
        self._is_scheduled = False
        self._write_on()

    def _wait_for_the_rest(self, status: int) -> None:
        """Wait no longer than BODY_SECONDS, as the status line has decided the outcome."""
        if self.served and status == REQUEST_TIMEOUT:
            self._settle()  # the request is sent again, so the rest is not needed
        elif not self._is_shortened:
            self._is_shortened = True
            self._queue.pop(self, None)
            seconds = min(self.when - self._loop.time(), BODY_SECONDS)
            # In steps of 10 ms. Otherwise each deadline's own length would have its own queue.
            self._queue = self._deadlines.start(self, math.floor(seconds * 100) / 100)

    def _settle(self) -> None:
        """Wake the sender, as the answer has all that is waited for."""
        self._queue.pop(self, None)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        """Wake the sender with the error, without its traceback.

        Its frames hold the bytes of a whole read, and through the sender's frame this connection,
        which holds the error. Otherwise a hundred such reads would wait for garbage collection.
        """
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error.with_traceback(None))
        self.abort()
