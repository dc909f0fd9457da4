"""One request and its answer, on a connection of aiohttp's pool.

aiohttp resolves, connects, keeps connections and reads answers. Its `ClientSession` is left out:
what that does for each request besides, and is not wanted here, takes longer than all the rest.
"""

import asyncio
from collections.abc import Mapping
from functools import cached_property, lru_cache
from http import HTTPStatus
from typing import cast

import aiohttp
from aiohttp import ClientTimeout, StreamReader, TCPConnector
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http_writer import _serialize_headers
from aiohttp.streams import EMPTY_PAYLOAD
from multidict import CIMultiDict
from yarl import URL

JOINED = 32 * 1024
"""Bytes of body up to which it is copied behind its head, to leave with it in one packet."""

FRAMING = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
"""Headers that say where a request goes and where it ends: nobody's but ours."""

LAYOUTS_CACHED = 4096
NEVER_ROUND_UP = 1e9
"""aiohttp rounds timeouts from this many seconds up to whole ones."""


class Outbox:
    """Requests of one turn of the loop, written one after another at its end.

    A write to a receiver that sleeps wakes it, which costs as much as all the rest of the request;
    the one after finds it awake, or other receivers not yet answering.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append((transport, data))

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():  # else its reader has been told
                transport.write(data)


class Target(ClientRequest):
    """Where POSTs go: what a connector asks of a request, found out once a URL."""

    def __init__(self, url: URL) -> None:
        super().__init__("POST", url)
        self.receiver = self.headers["Host"]
        self.request_line = f"POST {url.raw_path_qs} HTTP/1.1"

    @cached_property
    def connection_key(self) -> ConnectionKey:
        return super().connection_key


class Connections:
    """Connections to receivers, kept by `connector`, and what goes out on them.

    `connect_timeout` is in seconds, `content_limit` in bytes of an answer that wait to be read;
    `defaults` are headers of every request that does not bring its own of that name.
    """

    def __init__(
        self,
        connector: TCPConnector,
        *,
        connect_timeout: float,
        content_limit: int,
        defaults: Mapping[str, str],
    ) -> None:
        self._connector = connector
        self._timeout = ClientTimeout(connect=connect_timeout, ceil_threshold=NEVER_ROUND_UP)
        self._content_limit = content_limit
        self._defaults = defaults
        self._layout = lru_cache(maxsize=LAYOUTS_CACHED)(self._lay_out)
        self._outbox = Outbox()

    async def close(self) -> None:
        """Close them at once; exchanges under way end with an error."""
        await self._connector.close()

    async def connect(self, target: Target) -> Connection:
        """A connection of nobody else's, on which the next answer belongs to the next request."""
        try:
            connection = await self._connector.connect(target, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        protocol = connection.protocol
        if protocol is not None:
            protocol.set_response_params(
                read_until_eof=True, auto_decompress=False, read_bufsize=self._content_limit
            )
        if protocol is None or protocol.transport is None or len(protocol):
            connection.close()  # it is gone again, or what came was not asked for
            raise aiohttp.ServerDisconnectedError
        return connection

    def write(self, transport: asyncio.Transport, head: bytes, body: bytes) -> None:
        if len(body) <= JOINED:
            self._outbox.put(transport, head + body)
        else:
            self._outbox.put(transport, head)
            self._outbox.put(transport, body)

    def head(
        self, target: Target, headers: Mapping[str, str], length: int, *, keeps: bool
    ) -> bytes:
        """The head of a request with so many bytes of body; unless it `keeps`, the last on its
        connection. ValueError: a header has control characters, or is not for others to write."""
        defaults, replaced = self._layout(tuple(headers))
        fields = {"Host": target.receiver, **defaults, **headers, "Content-Length": str(length)}
        for name in replaced:
            del fields[name]
        if not keeps:
            fields["Connection"] = "close"
        # It asks for nothing but the pairs, in their order.
        return _serialize_headers(target.request_line, cast("CIMultiDict[str]", fields))

    def _lay_out(self, names: tuple[str, ...]) -> tuple[dict[str, str], list[str]]:
        """What headers of these names leave of the defaults, and those that a later one replaces."""
        last = {name.lower(): name for name in names}
        if not FRAMING.isdisjoint(last):
            raise ValueError("a header that is not for others to write")
        left = {name: value for name, value in self._defaults.items() if name.lower() not in last}
        return left, [name for name in names if last[name.lower()] != name]


class Exchange:
    """`post` once; then look at the answer's `status`, `headers` and `content`, and `end` it.

    `phase` tells how far a request without an answer came: to a connection ("connect"), to the
    receiver ("send"), or to the wait for an answer ("head").
    """

    __slots__ = ("_connection", "_connections", "content", "headers", "phase", "status")

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    content: StreamReader

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self.phase = "connect"

    async def post(
        self, target: Target, headers: Mapping[str, str], body: bytes, *, keeps: bool
    ) -> None:
        """Send the request, and wait for the head of its answer.

        Raises ValueError for headers that can not be sent, and what aiohttp's connector and parser
        do. The connection is closed then.
        """
        head = self._connections.head(target, headers, len(body), keeps=keeps)
        self._connection = await self._connections.connect(target)
        self.phase = "send"
        try:
            await self._converse(head, body)
        except BaseException:
            if not self._unsent:
                self.phase = "head"
            self._connection.close()
            raise

    def whole_content(self) -> bytes | None:
        """All of the content, when it came with the head; None when there is more to read."""
        if self.content is EMPTY_PAYLOAD or self.status == HTTPStatus.SWITCHING_PROTOCOLS:
            return b""
        if not self.content.is_eof():
            return None
        # `read_nowait` would have the parser look for more: a tenth of the whole exchange.
        return b"".join(self.content._buffer)  # noqa: SLF001

    def end(self) -> None:
        """Give the connection back if request and answer are complete and it is still HTTP's."""
        if self.content.is_eof() and not self._unsent:
            self._connection.release()
        else:
            self._connection.close()

    async def _converse(self, head: bytes, body: bytes) -> None:
        protocol, transport = self._connection.protocol, self._connection.transport
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        self._connections.write(transport, head, body)
        message, self.content = await protocol.read()
        while 100 <= message.code <= 199 and message.code != HTTPStatus.SWITCHING_PROTOCOLS:
            message, self.content = await protocol.read()
        self.status, self.headers = message.code, message.raw_headers

    @property
    def _unsent(self) -> bool:
        """The receiver has not taken all of the request."""
        transport = self._connection.transport
        return transport is not None and transport.get_write_buffer_size() > 0
