"""One POST under one deadline. Whatever the receiver does, the answer is a value.

The verdict is the final status line; the body is only an excerpt, read for a moment and never
decoded. The connection of an answer that was not clean and complete is closed, any other kept.
"""

import os
import ssl
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from time import monotonic
from typing import Self

import aiohttp
from aiohttp import TCPConnector
from aiohttp.http_exceptions import HttpProcessingError

from dispatcher.deadlines import Deadlines
from dispatcher.egress import Blocked, Guard, UrlError
from dispatcher.exchange import Connections, Exchange, Target
from dispatcher.model import ErrorCode, Response, SendError
from dispatcher.resolve import Resolver

BODY_SECONDS = 2.0
"""How long after the head an answer's body may still come."""

HEADERS_LIMIT = 8 * 1024
"""Bytes of names and values kept of an answer's header."""

KEEPALIVE_SECONDS = 15.0
DNS_CACHE_SECONDS = 10
URLS_CACHED = 4096


class Sender:
    """The sending edge: one HTTP session for all endpoints, open between `open` and `close`.

    Times are in seconds, `body_limit` in bytes. `concurrency` is how many posts the caller runs
    at once; idle connections are kept to at most so many receivers.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        connect_timeout: float,
        body_limit: int,
        concurrency: int,
        user_agent: str,
    ) -> None:
        self._guard = guard
        self._connect_timeout = connect_timeout
        self._body_limit = body_limit
        self._concurrency = concurrency
        self._user_agent = user_agent
        self._receivers: OrderedDict[str, float] = OrderedDict()
        self._connections: Connections | None = None
        self._target: Callable[[str], Target]
        self._deadlines: Deadlines

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        self._deadlines = Deadlines()
        self._target = lru_cache(maxsize=URLS_CACHED)(self._look_at)
        connector = TCPConnector(
            limit=0,  # the caller bounds what is in flight, and queues in its own lanes
            resolver=Resolver(self._guard),
            ttl_dns_cache=DNS_CACHE_SECONDS,
            keepalive_timeout=KEEPALIVE_SECONDS,
            socket_factory=self._guard.socket_factory,
            ssl=_tls_context(),
        )
        self._connections = Connections(
            connector,
            connect_timeout=self._connect_timeout,
            content_limit=max(self._body_limit, 1024),
            defaults={
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
                "User-Agent": self._user_agent,
            },
        )

    async def close(self) -> None:
        """Close every connection at once; posts still running end with an error."""
        if self._connections is not None:
            await self._connections.close()

    async def post(
        self,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        timeout: float,  # noqa: ASYNC109 - how long the receiver may take is part of the answer
    ) -> Response | SendError:
        """Send once, never again by itself; `timeout` spans from the name lookup to the last byte.

        Raises nothing that the network or the receiver could cause.
        """
        if self._connections is None:
            raise RuntimeError("the sender is not open")
        started = monotonic()
        exchange = Exchange(self._connections)
        try:
            target = self._target(url)
            keeps = self._keeps(target.receiver, started)
            with self._deadlines.within(timeout):
                await exchange.post(target, headers, body, keeps=keeps)
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError) as error:
            code, reason = self._verdict(error, url, exchange.phase, timeout)
            return SendError(code, reason, monotonic() - started)
        left = timeout - (monotonic() - started)
        excerpt, complete = await self._read(exchange, min(left, BODY_SECONDS))
        return Response(
            exchange.status,
            _kept_headers(exchange.headers),
            excerpt[: self._body_limit],
            not complete or len(excerpt) > self._body_limit,
            monotonic() - started,
        )

    def _look_at(self, url: str) -> Target:
        return Target(self._guard.check_url(url))

    def _verdict(
        self, error: Exception, url: str, phase: str, timeout: float
    ) -> tuple[ErrorCode, str]:
        if isinstance(error, UrlError):
            return "blocked", str(error)
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            # With TLS it may have connected, and the receiver stalled in the handshake.
            code: ErrorCode = "timeout" if url[:6].lower() == "https:" else "connect"
            return code, _PHASES["connect"].format(self._connect_timeout)
        return _explain(error, phase, timeout)

    async def _read(self, exchange: Exchange, seconds: float) -> tuple[bytes, bool]:
        """As much of the body as is kept and comes in time, and whether it ended properly."""
        excerpt = bytearray()
        try:
            whole = exchange.whole_content()
            if whole is not None:
                return whole, True
            with self._deadlines.within(seconds):
                while len(excerpt) <= self._body_limit:
                    chunk = await exchange.content.readany()
                    if not chunk:
                        return bytes(excerpt), True
                    excerpt += chunk
        except (aiohttp.ClientError, OSError):
            pass  # the status line has decided; the excerpt is as long as it is
        finally:
            exchange.end()
        return bytes(excerpt), False

    def _keeps(self, receiver: str, now: float) -> bool:
        """May this receiver's connection stay open after the answer? Idle ones cost memory."""
        if receiver not in self._receivers and len(self._receivers) >= self._concurrency:
            oldest = next(iter(self._receivers.values()))
            if now - oldest < 2 * KEEPALIVE_SECONDS:
                return False
            self._receivers.popitem(last=False)
        self._receivers[receiver] = now
        self._receivers.move_to_end(receiver)
        return True


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["http/1.1"])
    return context


def _kept_headers(raw: tuple[tuple[bytes, bytes], ...]) -> tuple[tuple[str, str], ...]:
    room = HEADERS_LIMIT
    kept = []
    for name, value in raw:
        room -= len(name) + len(value)
        if room < 0:
            break
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    return tuple(kept)


UNKNOWN = "; whether the receiver acted on the request is unknown"
_PHASES = {
    "connect": "no connection within {:g} s (phase=connect)",
    "send": "the receiver did not read the whole request within {:g} s (phase=send)",
    "head": "no answer within {:g} s (phase=head)",
}


def _explain(error: Exception, phase: str, timeout: float) -> tuple[ErrorCode, str]:
    """The code and the sentence for a POST without an answer, cut off in `phase`."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return _explain_connection(error)
    if isinstance(error, TimeoutError):
        return "timeout", _PHASES[phase].format(timeout)
    if isinstance(error.__cause__, ssl.SSLError):
        return "tls", _tls_reason(error.__cause__)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "reset", f"the receiver closed the connection without an answer{UNKNOWN}"
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return "reset", f"the connection broke before an answer{UNKNOWN}"
    if isinstance(error, ValueError):  # of our own making, and it may quote a header's value
        return "blocked", "the request can not be written: its URL or a header is malformed"
    # Its text would say status 400, which nobody sent.
    reason = error.message if isinstance(error, HttpProcessingError) else str(error)
    return "protocol", f"the answer is not HTTP: {_one_line(reason)}"


def _explain_connection(error: aiohttp.ClientConnectorError) -> tuple[ErrorCode, str]:
    cause = error.os_error
    if isinstance(cause, Blocked):
        return "blocked", str(cause)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        reason = _one_line(cause.strerror or "no answer")
        return "dns", f"{error.host} can not be resolved: {reason}"
    if isinstance(cause, ssl.SSLError):
        return "tls", _tls_reason(cause)
    if isinstance(cause, ConnectionResetError | ConnectionAbortedError):
        return "tls", "the receiver broke off the TLS handshake"
    # The text of the system's error names the address, which is not the endpoint owner's to know.
    reason = os.strerror(cause.errno) if cause.errno else "none of its addresses answers"
    return "connect", f"no connection: {reason}"


def _tls_reason(error: ssl.SSLError) -> str:
    # Only errors that OpenSSL itself reports have these attributes.
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {getattr(error, 'verify_message', 'no reason')}"
    reason = getattr(error, "reason", None) or "no common protocol"
    return f"the TLS handshake failed: {reason.lower().replace('_', ' ')}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())[:200]
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
