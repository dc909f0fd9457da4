"""One POST under one deadline. Whatever the receiver does, the answer is a value.

The verdict is the final status line; the body is only an excerpt, read for a moment and never
decoded. The connection of an answer that was not clean and complete is closed, any other kept.
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
"""How long after its status line the rest of an answer may still come."""

URLS_CACHED = 4096

ORIGIN_LIMIT = 1000
"""Connections to one host and port: a bound on file descriptors, far above `max_in_flight`."""


class Sender:
    """The sending edge: the connections to all endpoints, open between `open` and `close`.

    Times are in seconds, `body_limit` in bytes. `concurrency` is how many posts the caller runs
    at once; so many idle connections are kept at most.
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
        """Close every connection at once; posts still running end with an error."""
        if self._is_open:
            self._connections.close()

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout: float,  # noqa: ASYNC109 - how long the receiver may take is part of the answer
        share: str = "",
    ) -> Response | SendError:
        """Send once; `timeout` spans from the name lookup to the last byte.

        Only a request on a kept connection that ends before a byte of an answer is sent again, on
        a new one. `share` names on whose account a name is looked up. Raises nothing that the
        network or the receiver could cause.
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
                    # There was none, or the receiver had ended it and has not seen this request.
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
        """Send the request on a new connection, and return when there is a status."""
        connection = await self._connections.connect(target, progress, share)
        if not await self._ask(connection, head, body, progress):
            raise no_answer(None)
        if not target.is_literal:
            self._resolver.reached(target.origin.host, share)

    async def _ask(
        self, connection: Connection, head: bytes, body: bytes, progress: Progress
    ) -> bool:
        """Return True when there is a status, False if a kept connection ended without a byte.

        Raises PostError.
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
            connection.abort()  # how some servers say that they end an idle connection
            return False
        return True

    async def _read_on(self, progress: Progress, timeout: float) -> None:  # noqa: ASYNC109
        """Wait a moment for the rest of an answer that has a status."""
        seconds = min(timeout - progress.elapsed(), BODY_SECONDS)
        try:
            # In steps of 10 ms, for every length of deadline has a queue of its own.
            with self._deadlines.within(math.floor(seconds * 100) / 100):
                if progress.connection is not None:
                    await progress.connection.end_of_answer()
        except TimeoutError:
            progress.give_up()  # the status line has decided; the excerpt is as long as it is
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
    reason = _UNWRITABLE  # a ValueError of our own making may quote a header's value
    if isinstance(error, TimeoutError):
        code, reason = "timeout", _PHASES[progress.phase].format(timeout)
    elif isinstance(error, PostError):
        code, reason = error.code, error.reason
    elif isinstance(error, UrlError):
        reason = str(error)
    return SendError(code, reason, progress.elapsed(), progress.timings())
