"""Send one POST under one deadline; return a value, whether or not the receiver answers.

The final status line decides the outcome. The body is only an excerpt: it is read for at most two
seconds (BODY_SECONDS of `exchange`) and never decoded. A connection is kept only after a clean and
complete answer.
"""

import asyncio
import math
from collections.abc import Callable
from functools import lru_cache
from time import monotonic
from typing import Self

from dispatcher.core.credentials import TlsIdentity
from dispatcher.core.endpoint_url import UrlError
from dispatcher.core.model import ErrorCode, Response, SendError
from dispatcher.transport.addresses.egress import Guard
from dispatcher.transport.addresses.resolver import Resolver
from dispatcher.transport.connecting.connections import Connections
from dispatcher.transport.connecting.progress import Progress
from dispatcher.transport.connecting.proxy import Proxy
from dispatcher.transport.connecting.tls import ClientContexts
from dispatcher.transport.deadlines import Deadlines
from dispatcher.transport.exchanging.answer_head import REQUEST_TIMEOUT, NotHttpError
from dispatcher.transport.exchanging.exchange import (
    Connection,
    EndedError,
    ExchangeError,
    ExpiredError,
)
from dispatcher.transport.exchanging.request_head import RequestHeads, default_headers
from dispatcher.transport.failures import PostError, no_answer, one_line
from dispatcher.transport.post import Post
from dispatcher.transport.target import Target, target_of

URLS_LIMIT = 4096
"""Most parsed URLs that are kept."""

ORIGIN_LIMIT = 1000
"""Most connections to one origin. It bounds file descriptors, and is far above the default of
`max_in_flight`."""


class Sender:
    """The HTTP client for all endpoints; call `open` before the first post and `close` at the end.

    Times are in seconds, `body_limit` in bytes. `concurrency` is the number of posts that the
    caller runs at once, and the most idle connections that are kept. With a `proxy`, all
    connections go through it; variables such as HTTPS_PROXY are never read.
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
        proxy: Proxy | None = None,
    ) -> None:
        self._guard = guard
        self._connect_timeout = connect_timeout
        self._body_limit = body_limit
        self._concurrency = concurrency
        self._origin_limit = origin_limit
        self._proxy = proxy
        self._heads = RequestHeads(default_headers(user_agent))
        self._is_open = False
        self._target: Callable[[str], Target] = _not_open
        self._target_with: Callable[[str, TlsIdentity], Target]
        self._connections: Connections
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
        self._target = lru_cache(maxsize=URLS_LIMIT)(
            lambda url: target_of(self._guard.check_url(url))
        )
        self._target_with = lru_cache(maxsize=URLS_LIMIT)(
            lambda url, tls: target_of(self._guard.check_url(url), tls)
        )
        self._resolver = Resolver(self._guard)
        self._connections = Connections(
            self._guard,
            self._resolver,
            self._deadlines,
            ClientContexts(),
            connect_timeout=self._connect_timeout,
            idle_limit=self._concurrency,
            origin_limit=self._origin_limit,
            proxy=self._proxy,
        )
        self._is_open = True

    async def close(self) -> None:
        """Close all connections at once; running posts end with an error."""
        if self._is_open:
            self._connections.close()

    async def post(self, post: Post, *, body_limit: int | None = None) -> Response | SendError:
        """Send one request, and return the answer or the error.

        `body_limit` is in bytes, the sender's own unless it is given.
        A request is sent again only if a kept connection ends without an answer, or answers 408.
        """
        started_at, limit = monotonic(), body_limit or self._body_limit
        url, headers, body, timeout, _, names, values, tls = post
        try:
            target = self._target(url) if tls is None else self._target_with(url, tls)
            head = self._heads.build(target.start, headers, len(body), names, values)
        except ValueError as error:
            return _refused(error, monotonic() - started_at)
        kept = self._connections.take(target.origin, started_at)
        if kept is not None:
            exchange = kept.post(head, body, limit, timeout, started_at)
            try:
                response = await exchange
            except BaseException as error:  # noqa: BLE001 - raised again unless it is ours
                if not (isinstance(error, EndedError) and error.is_unanswered):
                    _stop(kept, exchange)
                    return _failed(error, kept, Progress(started_at), timeout)
                _release(error)
            else:
                if response.status != REQUEST_TIMEOUT:  # some servers send it as they close
                    return response
        return await self._post_on_new(target, head, post, limit, started_at)

    async def _post_on_new(
        self, target: Target, head: bytes, post: Post, body_limit: int, started_at: float
    ) -> Response | SendError:
        """Send the request on a new connection; return the answer or the error.

        Network and receiver cause no exceptions.
        """
        connection, exchange, progress = None, None, Progress(started_at)
        timeout, environment_id = post.timeout, post.environment_id
        try:
            left = started_at + timeout - monotonic()
            with self._deadlines.within(_in_steps(left)):
                connection = await self._connections.connect(target, progress, environment_id)
            now = monotonic()
            left = _in_steps(started_at + timeout - now)
            exchange = connection.post(head, post.body, body_limit, left, now)
            response = await exchange
        except BaseException as error:  # noqa: BLE001 - raised again unless it is ours
            _stop(connection, exchange)
            return _failed(error, connection, progress, timeout)
        if not target.is_literal:
            self._resolver.reached(target.origin.host, environment_id)
        response.duration += now - started_at
        response.timings = progress.timings(now + (response.timings.first_byte or 0.0))
        return response


def _stop(connection: Connection | None, exchange: asyncio.Future[Response] | None) -> None:
    """Close the connection of a request that was cancelled.

    A connection whose exchange has ended is closed already, or another request may use it.
    """
    if connection is not None and (exchange is None or exchange.cancelled()):
        connection.abort()


def _failed(
    error: BaseException, connection: Connection | None, progress: Progress, timeout: float
) -> SendError:
    """Return the error of a request without a status.

    Raise `error` again if neither network nor receiver caused it.
    """
    if not isinstance(error, (TimeoutError, PostError, ExchangeError, NotHttpError)):
        raise error
    _release(error)
    first_byte_at = connection.first_byte_at if connection is not None else 0.0
    code, reason = _described(error, timeout)
    duration = monotonic() - progress.started_at
    return SendError(code, reason, duration, progress.timings(first_byte_at))


def _release(error: BaseException) -> None:
    """Let the error forget its frames.

    The future of the exchange holds the error, and the frames hold the future. Otherwise connection
    and answer would wait for garbage collection.
    """
    error.__traceback__ = None


_UNWRITABLE = "the request cannot be written: its URL or a header is malformed"


def _described(error: Exception, timeout: float) -> tuple[ErrorCode, str]:
    """Return the code and the sentence for the endpoint's owner."""
    if isinstance(error, PostError):
        return error.code, error.reason
    if isinstance(error, EndedError):
        return _described(no_answer(error.cause), timeout)
    if isinstance(error, NotHttpError):
        return "protocol", f"the answer is not HTTP: {one_line(str(error))}"
    if isinstance(error, ExpiredError) and error.is_unsent:
        return "timeout", (
            f"the receiver did not read the whole request within {timeout:g} s (phase=send)"
        )
    if isinstance(error, ExpiredError):
        return "timeout", f"no answer within {timeout:g} s (phase=head)"
    return "timeout", f"no connection within {timeout:g} s (phase=connect)"


def _refused(error: ValueError, duration: float) -> SendError:
    """Return the error of a request that was not sent.

    Only a UrlError is quoted. The text of any other ValueError may contain a header's value.
    """
    return SendError(
        "blocked", str(error) if isinstance(error, UrlError) else _UNWRITABLE, duration
    )


def _not_open(_: str) -> Target:
    raise RuntimeError("the sender is not open")


def _in_steps(seconds: float) -> float:
    """Return the time, rounded up to a multiple of 10 ms.

    Otherwise nearly every deadline would have a length of its own, and so a queue of its own.
    """
    return math.ceil(seconds * 100) / 100
