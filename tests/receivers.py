"""Receivers on the loopback for tests to point endpoints at.

`Receiver` records every request and answers from a script; `RawReceiver` hands the bare streams
of each connection to a coroutine, for answers that no well-behaved server would give.

    async with Receiver() as receiver:
        receiver.answers = [500, 500, Answer(200, body=b"ok")]
        ...  # something POSTs to receiver.url
        await receiver.wait_for(3)
        assert receiver.requests[0].headers["X-Dispatcher-Attempt"] == "1"
"""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from multidict import CIMultiDictProxy


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request: `at` is wall-clock seconds, `peer` is the same for one connection."""

    at: float
    method: str
    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    peer: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, `delay` seconds after the request arrived, or once `after` is set.

    `hang`: never say anything.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    delay: float = 0.0
    hang: bool = False
    after: asyncio.Event | None = None


HANG = Answer(hang=True)
BACKLOG = 1024


class Receiver:
    """A recording receiver on 127.0.0.1.

    `answers` are used up in order, one a request (an int is a bare status); then every request
    gets `otherwise`. `port` 0 takes a free one; give the port of an earlier receiver to bring
    it back. `in_flight` counts the requests that are not answered yet, `peak` is its maximum.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        otherwise: Answer | int = 200,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self.answers: list[Answer | int] = []
        self.otherwise: Answer | int = otherwise
        self.requests: list[Request] = []
        self.in_flight = 0
        self.peak = 0
        self._ssl_context = ssl_context
        self._arrived = asyncio.Condition()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://127.0.0.1:{self.port}/"

    async def wait_for(self, count: int, *, within: float = 60.0) -> list[Request]:
        """The first `count` requests, once so many have arrived; TimeoutError says how many did."""
        try:
            async with asyncio.timeout(within), self._arrived:
                await self._arrived.wait_for(lambda: len(self.requests) >= count)
        except TimeoutError:
            message = f"{len(self.requests)} of {count} requests arrived in {within} s"
            raise TimeoutError(message) from None
        return self.requests[:count]

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2
        )
        await self._runner.setup()
        listener = _listen(self.port)
        self.port = listener.getsockname()[1]
        await web.SockSite(
            self._runner, listener, ssl_context=self._ssl_context, backlog=BACKLOG
        ).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            return await self._say(request, await self._record(request))
        finally:
            self.in_flight -= 1

    async def _record(self, request: web.Request) -> Answer:
        body = await request.read()
        peer = request.transport.get_extra_info("peername") if request.transport else ("", 0)
        answer = self.answers.pop(0) if self.answers else self.otherwise
        async with self._arrived:
            self.requests.append(
                Request(time.time(), request.method, request.path_qs, request.headers, body, peer)
            )
            self._arrived.notify_all()
        return Answer(answer) if isinstance(answer, int) else answer

    async def _say(self, request: web.Request, answer: Answer) -> web.Response:
        if answer.after is not None:
            await self._ended_or(answer.after)
        elif answer.hang or answer.delay:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), None if answer.hang else answer.delay)
        if self._closing.is_set() and request.transport is not None:
            request.transport.abort()
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    async def _ended_or(self, event: asyncio.Event) -> None:
        both = [asyncio.ensure_future(signal.wait()) for signal in (event, self._closing)]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in both:
                future.cancel()


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class RawReceiver:
    """A listener that runs `script` on every connection, then closes it.

    `connections` counts those accepted; leaving the block cancels the scripts still running.
    """

    def __init__(self, script: Script, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.connections = 0
        self._script = script
        self._ssl_context = ssl_context
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        scheme = "https" if self._ssl_context else "http"
        return f"{scheme}://127.0.0.1:{self.port}/"

    async def __aenter__(self) -> Self:
        listener = _listen(0)
        self.port = listener.getsockname()[1]
        self._server = await asyncio.start_server(
            self._accept,
            sock=listener,
            ssl=self._ssl_context,
            limit=8 * 1024 * 1024,
            backlog=BACKLOG,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        running = asyncio.get_running_loop().create_task(self._run(reader, writer))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            try:
                await self._script(reader, writer)
            finally:
                writer.close()


async def read_request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head and the body of one request, read whole off a raw connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            length = int(value)
    return head, await reader.readexactly(length)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener
