"""Connections to the admin port: those that say nothing, and too many of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    suppress,
)
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from dispatcher.api.app import AdminPort, answering
from dispatcher.api.port import connections, sockets
from dispatcher.api.port.connection_limits import ConnectionLimits

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[..., AbstractAsyncContextManager[Stream]]
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Slow:
    """The events of a slow request: it waits, and it may go on."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.release = asyncio.Event()


SLOW = web.AppKey("slow", Slow)


async def hello(request: web.Request) -> web.Response:
    if "wait" in request.query:
        request.app[SLOW].waiting.set()
        await request.app[SLOW].release.wait()
    return web.Response(text="hello")


async def taken(request: web.Request) -> web.Response:
    request.app[SLOW].waiting.set()
    return web.Response(body=await request.read())


Port = Callable[..., AbstractAsyncContextManager[Connect]]


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def served(slow: Slow) -> Port:
    """A port with these limits; it yields what connects to it, from an address of one's choice."""

    @asynccontextmanager
    async def opened(**limits: float) -> AsyncIterator[Connect]:
        app = web.Application(middlewares=[answering])
        app[SLOW] = slow
        app.router.add_get("/", hello)
        app.router.add_post("/", taken)
        listening = await sockets.listen("127.0.0.1", 0)
        port = AdminPort(app, listening, ConnectionLimits(**limits))  # type: ignore[arg-type]
        await port.open()
        at = urlsplit(sockets.address_of(listening))

        @asynccontextmanager
        async def connected(source: str = "127.0.0.1") -> AsyncIterator[Stream]:
            reader, writer = await asyncio.open_connection(
                at.hostname, at.port, local_addr=(source, 0)
            )
            try:
                yield reader, writer
            finally:
                writer.close()

        yield connected
        await port.close()

    return opened


async def answered(stream: Stream, request: bytes = WHOLE) -> bytes:
    """Send a request; return one whole answer, or nothing if the connection ends before."""
    reader, writer = stream
    try:
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        return head + await asyncio.wait_for(reader.readexactly(5), 30)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


@pytest.mark.parametrize("fragment", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: a"])
async def test_a_connection_without_a_whole_request_is_ended(served: Port, fragment: bytes) -> None:
    async with served(head_seconds=0.2) as connect, connect() as stream:
        assert await answered(stream, fragment) == b""


async def test_a_head_that_comes_byte_by_byte_is_ended_in_time(served: Port) -> None:
    async with served(head_seconds=0.2) as connect, connect() as (reader, writer):
        reading = asyncio.create_task(reader.read())
        for byte in WHOLE[:-1] * 5:
            if reading.done() or writer.is_closing():
                break
            writer.write(bytes([byte]))
            await asyncio.wait({reading}, timeout=0.02)
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reading, 30) == b""


@pytest.mark.parametrize("fragment", [b"", WHOLE[:-2]])
async def test_a_silent_connection_ends_after_a_response_too(served: Port, fragment: bytes) -> None:
    async with served(head_seconds=1, silent_seconds=1.5) as connect, connect() as stream:
        assert (await answered(stream)).endswith(b"hello")
        assert await answered(stream, fragment) == b""


async def test_pipelined_requests_are_all_answered(served: Port) -> None:
    async with served() as connect, connect() as (reader, writer):
        writer.write(WHOLE * 20)
        for _ in range(20):
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            assert head.startswith(b"HTTP/1.1 200")
            await asyncio.wait_for(reader.readexactly(5), 30)


async def test_the_oldest_silent_connection_is_closed_for_a_new_one(served: Port) -> None:
    async with served(most=2) as connect, connect() as silent, connect() as used:
        assert (await answered(used)).endswith(b"hello")
        async with connect() as newcomer:
            assert (await answered(newcomer)).endswith(b"hello")
            assert await answered(silent) == b""
            assert (await answered(used)).endswith(b"hello")


async def test_a_connection_with_a_request_in_progress_is_never_dropped_for_another(
    served: Port, slow: Slow
) -> None:
    async with served(most=1) as connect, connect() as (reader, writer):
        writer.write(WHOLE.replace(b"/ ", b"/?wait ", 1))
        await asyncio.wait_for(slow.waiting.wait(), 30)
        async with connect() as newcomer:
            assert await answered(newcomer) == b""
        slow.release.set()
        assert (await asyncio.wait_for(reader.readuntil(b"hello"), 30)).endswith(b"hello")


async def test_a_body_that_does_not_come_gives_way_to_a_newcomer(served: Port, slow: Slow) -> None:
    async with served(most=1) as connect, connect() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        await asyncio.wait_for(slow.waiting.wait(), 30)
        async with connect() as newcomer:
            assert (await answered(newcomer)).endswith(b"hello")
        with suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 30) == b""


async def test_six_hundred_silent_connections_do_not_block_others(served: Port) -> None:
    async with served() as connect, AsyncExitStack() as crowd:
        for number in range(600):
            stream = await crowd.enter_async_context(connect())
            if number % 2:
                stream[1].write(b"GET / HT")
            if number % 50 == 0:
                async with connect() as newcomer:
                    assert (await answered(newcomer)).endswith(b"hello")
        async with connect() as newcomer:
            assert (await answered(newcomer)).endswith(b"hello")


@pytest.mark.parametrize(("local", "kept"), [(True, True), (False, False)])
async def test_connections_of_one_address_are_limited_except_loopback(
    served: Port, monkeypatch: pytest.MonkeyPatch, *, local: bool, kept: bool
) -> None:
    monkeypatch.setattr(connections, "_is_local", lambda _: local)
    async with served(of_one_address=1) as connect, connect("127.0.0.2") as first:
        assert (await answered(first)).endswith(b"hello")
        async with connect("127.0.0.3") as other, connect("127.0.0.2") as second:
            assert (await answered(other)).endswith(b"hello")
            assert (await answered(second)).endswith(b"hello")
            assert bool(await answered(first)) is kept


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), ("2001:db8::1", False), ("", False)],
)
def test_loopback_addresses_count_as_our_own(address: str, *, local: bool) -> None:
    assert connections._is_local(address) is local


@pytest.mark.parametrize(
    "request_", [WHOLE, WHOLE.replace(b"/ ", b"/none ", 1), b"nonsense\r\n\r\n"]
)
async def test_every_response_has_the_security_headers(served: Port, request_: bytes) -> None:
    async with served() as connect, connect() as (reader, writer):
        writer.write(request_)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode().lower()
        assert "x-content-type-options: nosniff" in head
        assert "content-security-policy: default-src 'none'" in head
        assert "cache-control: no-store" in head
        assert "server: dispatcher\r\n" in head


@pytest.mark.parametrize("cut", [1, 4, len(WHOLE) - 1])
async def test_a_head_that_comes_in_two_parts_is_answered(served: Port, cut: int) -> None:
    async with served() as connect, connect() as stream:
        stream[1].write(WHOLE[:cut])
        await asyncio.sleep(0)
        assert (await answered(stream, WHOLE[cut:])).endswith(b"hello")


async def test_a_request_head_over_the_kept_size_is_answered(served: Port) -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 7_900 + b"\r\nX-More: "
    async with served() as connect, connect() as stream:
        assert (await answered(stream, head + b"y" * 400 + b"\r\n\r\n")).endswith(b"hello")


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n" + WHOLE])
async def test_no_request_is_refused_at_once_and_an_empty_line_before_one_is_skipped(
    served: Port, sent: bytes
) -> None:
    async with served(head_seconds=60) as connect, connect() as (reader, writer):
        writer.write(sent)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert head.split()[1] == (b"200" if sent.endswith(WHOLE) else b"400")


@pytest.mark.parametrize("end", [b"\n\n", b"\n\r\n"])
async def test_a_head_with_other_line_ends_is_refused_at_once(served: Port, end: bytes) -> None:
    async with served(head_seconds=60) as connect, connect() as (reader, writer):
        writer.write(b"GET / HTTP/1.1\nHost: x" + end)
        line = await asyncio.wait_for(reader.readline(), 20)
        assert line.split()[1] == b"400"


@pytest.mark.parametrize(
    "first",
    [
        WHOLE[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_a_connection_that_asked_for_another_protocol_is_closed(
    served: Port, first: bytes
) -> None:
    async with served(silent_seconds=60) as connect, connect() as (reader, writer):
        writer.write(first + WHOLE)
        answer = await asyncio.wait_for(reader.read(), 20)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert b"\r\nConnection: close\r\n" in answer


async def test_silent_connections_have_no_handler() -> None:
    app = web.Application(middlewares=[answering])
    listening = await sockets.listen("127.0.0.1", 0)
    port = AdminPort(app, listening, ConnectionLimits())
    await port.open()
    at = urlsplit(sockets.address_of(listening))
    streams = [await asyncio.open_connection(at.hostname, at.port) for _ in range(5)]
    for _, writer in streams[:2]:
        writer.write(b"GET / HTT")
    reader, writer = streams[2]
    writer.write(WHOLE)
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).split()[1] == b"404"
    handlers = [task for task in asyncio.all_tasks() if "RequestHandler.start" in str(task)]
    assert len(handlers) == 1
    await port.close()
    for reader, writer in streams:
        with suppress(ConnectionError):
            await asyncio.wait_for(reader.read(), 30)
        writer.close()
