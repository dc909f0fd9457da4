"""Run exchanges (one request and its answer) on a connection to a receiver, one at a time."""

import asyncio
import math
from collections.abc import Callable
from time import monotonic
from typing import cast

from dispatcher.core.model import Response, Timings
from dispatcher.transport.deadlines import Deadlines, Queue
from dispatcher.transport.exchanging.answer import PARSED_LIMIT_BYTES, Answer, whole_answer
from dispatcher.transport.exchanging.answer_head import REQUEST_TIMEOUT, Head, NotHttpError
from dispatcher.transport.exchanging.body_turns import BodyTurns

JOINED_BYTES = 32 * 1024
"""A body of up to this many bytes is joined with its head, so that one packet can carry both."""

PIECE_BYTES = 32 * 1024
"""A larger body is written in pieces of this size, as the transport copies what it cannot send."""

BODY_SECONDS = 2.0
"""Time for the rest of an answer after its status line."""


class ExchangeError(Exception):
    """The exchange ended without a status."""


class EndedError(ExchangeError):
    """The connection ended before a status; `cause` is the transport's error, None if none.

    `is_unanswered` is True if not one byte of an answer arrived.
    """

    def __init__(self, cause: Exception | None, *, is_unanswered: bool) -> None:
        super().__init__("the connection ended before an answer")
        self.cause = cause
        self.is_unanswered = is_unanswered


class ExpiredError(ExchangeError):
    """There was no status before the deadline.

    `is_unsent` is True if part of the request was not sent yet.
    """

    def __init__(self, *, is_unsent: bool) -> None:
        super().__init__("no status before the deadline")
        self.is_unsent = is_unsent


class Connection(asyncio.Protocol):
    """A connection for one exchange after another.

    `on_idle(connection, head)` is called when another exchange may follow the one that ended with
    the answer's `head`, and `on_lost(connection)` once, when the connection has ended.
    """

    __slots__ = (
        "_answer",
        "_body_limit",
        "_deadlines",
        "_is_aborted",
        "_is_paused",
        "_is_scheduled",
        "_is_shortened",
        "_loop",
        "_on_idle",
        "_on_lost",
        "_queue",
        "_started_at",
        "_turns",
        "_unwritten",
        "_waiter",
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
        turns: BodyTurns,
        deadlines: Deadlines,
        *,
        on_idle: Callable[["Connection", Head], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self._loop = loop
        self._turns = turns
        self._deadlines = deadlines
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._queue: Queue = {}
        self._is_aborted = False
        self._is_paused = False
        self._is_scheduled = False
        self._is_shortened = False
        self._unwritten: memoryview | None = None
        self._waiter: asyncio.Future[Response] | None = None
        self._answer: Answer | None = None
        self._body_limit = 0
        self._started_at = 0.0
        self.first_byte_at = 0.0
        self.is_lost = False
        self.is_closing = False
        self.idle_until = 0.0
        self.served = 0
        self.when = math.inf

    # ── called by the sender, its deadlines and body turns ────────────────────────────────────────

    def post(
        self, head: bytes, body: bytes, body_limit: int, seconds: float, started_at: float
    ) -> asyncio.Future[Response]:
        """Send a request; return a future of the answer, with at most `body_limit` bytes of body.

        Its duration, its first byte and its deadline count from `started_at`, in monotonic seconds.
        The deadline is `seconds` later. After the status, the rest of the answer has at most
        BODY_SECONDS, but no time beyond the deadline. The future raises ExchangeError or
        NotHttpError if there is no status. Cancel the exchange by `abort`.
        """
        waiter = self._waiter = self._loop.create_future()
        if self.is_closing:
            self._fail(EndedError(None, is_unanswered=True))
            return waiter
        self._body_limit = body_limit
        self._started_at = started_at
        self.first_byte_at = 0.0
        self._queue = self._deadlines.start(self, seconds, started_at)
        if len(body) <= JOINED_BYTES:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self._unwritten = memoryview(body)
            self._wait_for_turn()
        return waiter

    @property
    def is_unsent(self) -> bool:
        """Return True while part of the request is not sent yet."""
        return self._unwritten is not None or (
            not self.is_closing and self.transport.get_write_buffer_size() > 0
        )

    def abort(self) -> None:
        """Close at once.

        A running exchange ends with the answer so far if that has a status, else with EndedError.
        """
        self._unwritten = None
        self._queue.pop(self, None)
        if not self.is_lost:
            self._is_aborted = self.is_closing = True
            self.transport.abort()

    def expire(self) -> None:
        """End the exchange, as its time is over: with a status it has an outcome, else an error."""
        if self._answer is not None and self._answer.status:
            self._finish_part(self._answer)
        else:
            self._fail(ExpiredError(is_unsent=self.is_unsent))

    def write_piece(self) -> bool:
        """Write one piece of a large body; return True if another one can follow."""
        self._is_scheduled = False
        if self._unwritten is None or self._is_paused:
            return False
        piece, rest = self._unwritten[:PIECE_BYTES], self._unwritten[PIECE_BYTES:]
        self._unwritten = rest if len(rest) else None
        self.transport.write(piece)
        self._is_scheduled = self._unwritten is not None and not self._is_paused
        return self._is_scheduled

    # ── called by the transport ──────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.transport.set_write_buffer_limits(high=PIECE_BYTES)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self.abort()  # these bytes belong to no request
            return
        try:
            if self._answer is None:
                self.first_byte_at = monotonic()
                whole = whole_answer(data, self._body_limit)
                if whole is not None:
                    self._finish_whole(*whole)
                    return
                self._answer = Answer(self._body_limit)
            self._feed(self._answer, data)
        except NotHttpError as error:
            self._fail(error)

    def eof_received(self) -> None:
        """Let the transport close, as the receiver sends nothing more."""
        self.is_closing = True

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._wait_for_turn()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = self.is_closing = True
        self._unwritten = None
        if self._waiter is not None:
            answer = self._answer
            clean = exc is None and not self._is_aborted
            if answer is not None and answer.end_of_input(clean=clean):
                self._finish_part(answer)
            else:
                self._fail(EndedError(exc, is_unanswered=answer is None))
        self._on_lost(self)

    # ── private ───────────────────────────────────────────────────────────────────────────────────

    def _wait_for_turn(self) -> None:
        if self._unwritten is not None and not self._is_paused and not self._is_scheduled:
            self._is_scheduled = True
            self._turns.put(self.write_piece)

    def _feed(self, answer: Answer, data: bytes) -> None:
        """Parse the next bytes of an answer that arrives in parts. Raise NotHttpError."""
        has_ended = (answer.feed if len(data) <= PARSED_LIMIT_BYTES else answer.feed_pieces)(data)
        if has_ended:
            self._finish_part(answer)
        elif answer.status == REQUEST_TIMEOUT and self.served:
            self._finish_part(answer)  # the request is sent again, so the rest is not needed
        elif answer.status:
            self._wait_for_the_rest()

    def _wait_for_the_rest(self) -> None:
        """Wait no longer than BODY_SECONDS, as the status line has decided the outcome."""
        if not self._is_shortened:
            self._is_shortened = True
            self._queue.pop(self, None)
            now = monotonic()
            seconds = min(self.when - now, BODY_SECONDS)
            # Round down to 10 ms. Otherwise nearly every deadline would have a queue of its own.
            self._queue = self._deadlines.start(self, math.floor(seconds * 100) / 100, now)

    def _finish_whole(self, head: Head, body: bytes) -> None:
        """End the exchange with an answer that came in one piece."""
        seconds = self.first_byte_at - self._started_at
        timings = Timings(None, None, None, seconds)
        response = Response(head.status, head.headers, body, False, seconds, timings)
        self._finish(response, head if head.is_reusable else None)

    def _finish_part(self, answer: Answer) -> None:
        """End the exchange with as much of the answer as has come."""
        first_byte = Timings(None, None, None, self.first_byte_at - self._started_at)
        response = answer.response(monotonic() - self._started_at, first_byte)
        self._answer = None
        self._is_shortened = False
        self._finish(response, answer.head if answer.has_ended and answer.is_reusable else None)

    def _finish(self, response: Response, head: Head | None) -> None:
        """Wake the sender, and keep the connection for another exchange if there is a `head`."""
        self._queue.pop(self, None)
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            self.abort()  # the sender was cancelled
            return
        waiter.set_result(response)
        if (
            head is None
            or self.is_closing
            or self._unwritten is not None
            or self.transport.get_write_buffer_size()
        ):
            self.abort()
        else:
            self._on_idle(self, head)
            # Count it only now: `on_idle` keeps the TLS session if nothing was served before.
            self.served += 1

    def _fail(self, error: Exception) -> None:
        """Wake the sender with the error, without its traceback.

        Its frames hold the bytes of a whole read, and through the sender's frame this connection,
        which holds the error. Otherwise a hundred such reads would wait for garbage collection.
        """
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error.with_traceback(None))
        self.abort()
