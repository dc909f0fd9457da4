"""Send one POST under one deadline; return a value, whether or not the receiver answers.

The final status line decides the outcome. The body is only an excerpt: it is read for at most
BODY_SECONDS and never decoded. A connection is kept only after a clean and complete answer.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Self

from dispatcher.core.endpoint_url import UrlError
from dispatcher.core.model import ErrorCode, Response, SendError
from dispatcher.transport.answer import Answer
from dispatcher.transport.answer_head import REQUEST_TIMEOUT, NotHttpError
from dispatcher.transport.connections import Connections
from dispatcher.transport.deadlines import Deadlines
from dispatcher.transport.egress import Guard
from dispatcher.transport.exchange import Connection, EndedError
from dispatcher.transport.failures import PostError, no_answer, one_line
from dispatcher.transport.progress import Progress
from dispatcher.transport.request_head import RequestHeads
from dispatcher.transport.resolver import Resolver
from dispatcher.transport.target import Target, target_of
from dispatcher.transport.tls import ClientContext

BODY_SECONDS = 2.0
"""Time for the rest of an answer after its status line."""

URLS_CACHED = 4096
"""Most parsed URLs that are kept."""

ORIGIN_LIMIT = 1000
"""Most connections to one host and port: it bounds file descriptors, far above `max_in_flight`."""


class Sender:
    """The HTTP client for all endpoints; call `open` before the first post and `close` at the end.

    Times are in seconds, `body_limit` in bytes. `concurrency` is the number of posts that the
    caller runs at once, and the most idle connections that are kept.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        connect_timeout: float,
        body_limit: int,
        concurrency: int,
        user_agent: str,
        origin_limit: int = ORIGIN_LIMIT,
    ) -> None:
        self._guard = guard
        self._connect_timeout = connect_timeout
        self._body_limit = body_limit
        self._concurrency = concurrency
        self._origin_limit = origin_limit
        self._heads = RequestHeads(
            {
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": user_agent,
            }
        )
        self._is_open = False
        self._connections: Connections
        self._target: Callable[[str], Target]
        self._deadlines: Deadlines
        self._resolver: Resolver

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Start the client in the running event loop."""
        self._deadlines = Deadlines()
        self._target = lru_cache(maxsize=URLS_CACHED)(
            lambda url: target_of(self._guard.check_url(url))
        )
        self._resolver = Resolver(self._guard)
        self._connections = Connections(
            self._guard,
            self._resolver,
            self._deadlines,
            ClientContext(),
            connect_timeout=self._connect_timeout,
            idle_limit=self._concurrency,
            origin_limit=self._origin_limit,
        )
        self._is_open = True

    async def close(self) -> None:
        """Close all connections at once; running posts end with an error."""
        if self._is_open:
            self._connections.close()

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout: float,  # noqa: ASYNC109 - a timeout is a value here, not an exception
        share: str = "",
    ) -> Response | SendError:
        """Send one request, and return the answer or the error.

        `timeout` is in seconds, from the name lookup to the last byte. `share` is the environment
        for which names are looked up. A request is sent a second time, on a new connection, only if
        a kept connection ends before the first byte of an answer, or answers it with 408. Network
        and receiver cause no exceptions. Raises RuntimeError if the sender is not open.
        """
        if not self._is_open:
            raise RuntimeError("the sender is not open")
        progress = Progress()
        try:
            target = self._target(url)
            head = self._heads.build(target.start, headers, len(body))
            with self._deadlines.within(timeout):
                connection = self._connections.take(target.origin)
                if connection is None or not await self._ask(connection, head, body, progress):
                    # No connection was idle, or the receiver closed it without reading the request.
                    await self._ask_on_new_connection(target, head, body, progress, share)
        except (TimeoutError, PostError, ValueError) as error:
            if not progress.has_status:
                return _failed(error, progress, timeout)
        answer = progress.answer
        if answer is None or not answer.ended:
            await self._read_on(progress, timeout)
        return self._response(progress)

    async def _ask_on_new_connection(
        self, target: Target, head: bytes, body: bytes, progress: Progress, share: str
    ) -> None:
        """Send the request on a new connection, and wait for a status. Raises PostError."""
        connection = await self._connections.connect(target, progress, share)
        if not await self._ask(connection, head, body, progress):
            raise no_answer(None)
        if not target.is_literal:
            self._resolver.reached(target.origin.host, share)

    async def _ask(
        self, connection: Connection, head: bytes, body: bytes, progress: Progress
    ) -> bool:
        """Send the request, and return True when there is a status.

        Return False if a kept connection ended without a byte, or answered with 408. Raises
        PostError.
        """
        progress.connection = connection
        answer = progress.answer = Answer(self._body_limit)
        try:
            await connection.post(head, body, answer)
        except EndedError as error:
            if connection.served and not answer.began:
                return False
            raise no_answer(error.cause) from None
        except NotHttpError as error:
            reason = f"the answer is not HTTP: {one_line(str(error))}"
            raise PostError("protocol", reason) from None
        except BaseException:
            progress.give_up()
            raise
        if connection.served and answer.status == REQUEST_TIMEOUT:
            connection.abort()  # some servers send 408 when they close an idle connection
            return False
        return True

    async def _read_on(self, progress: Progress, timeout: float) -> None:  # noqa: ASYNC109
        """Wait up to BODY_SECONDS for the rest of an answer that has a status."""
        seconds = min(timeout - progress.elapsed(), BODY_SECONDS)
        try:
            # In steps of 10 ms. Otherwise each deadline's own length would have its own queue.
            with self._deadlines.within(math.floor(seconds * 100) / 100):
                if progress.connection is not None:
                    await progress.connection.end_of_answer()
        except TimeoutError:
            progress.give_up()  # the status line has decided; the excerpt stays incomplete
        except BaseException:
            progress.give_up()
            raise

    def _response(self, progress: Progress) -> Response:
        connection, answer = progress.connection, progress.answer
        if connection is None or answer is None:
            raise RuntimeError("there is no answer")
        response = Response(
            answer.status,
            answer.headers,
            answer.body,
            answer.truncated,
            progress.elapsed(),
            progress.timings(),
        )
        self._connections.release(connection)
        return response


_UNWRITABLE = "the request cannot be written: its URL or a header is malformed"
_PHASES = {
    "connect": "no connection within {:g} s (phase=connect)",
    "send": "the receiver did not read the whole request within {:g} s (phase=send)",
    "head": "no answer within {:g} s (phase=head)",
}


def _failed(error: Exception, progress: Progress, timeout: float) -> SendError:
    code: ErrorCode = "blocked"
    reason = _UNWRITABLE  # not the text of a ValueError, which may contain a header's value
    if isinstance(error, TimeoutError):
        code, reason = "timeout", _PHASES[progress.phase].format(timeout)
    elif isinstance(error, PostError):
        code, reason = error.code, error.reason
    elif isinstance(error, UrlError):
        reason = str(error)
    return SendError(code, reason, progress.elapsed(), progress.timings())
