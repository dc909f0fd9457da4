"""Connections to the admin port: those that say nothing, and too many of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from dispatcher.api import app as admin
from dispatcher.api.app import AdminPort

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], AbstractAsyncContextManager[Stream]]
WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.fixture
def silent() -> float:
    """Seconds for which a connection may be."""
    return 0.5


@pytest.fixture
async def connect(monkeypatch: pytest.MonkeyPatch, silent: float) -> AsyncIterator[Connect]:
    """To a port that admits two."""
    monkeypatch.setattr(admin, "CONNECTIONS_MOST", 2)
    monkeypatch.setattr(admin, "SILENT_SECONDS", silent)
    app = web.Application()
    app.router.add_get("/", hello)
    port = AdminPort(app, "127.0.0.1", 0)
    await port.open()
    at = urlsplit(port.address)

    @asynccontextmanager
    async def connected() -> AsyncIterator[Stream]:
        reader, writer = await asyncio.open_connection(at.hostname, at.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    yield connected
    await port.close()


async def answered(stream: Stream, request: bytes = WHOLE) -> bytes:
    """What came until the connection ended, or the whole of one answer."""
    reader, writer = stream
    try:
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        return head + await asyncio.wait_for(reader.readexactly(5), 5)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: a"])
async def test_a_connection_without_a_whole_request_is_ended(connect: Connect, said: bytes) -> None:
    async with connect() as stream:
        assert await answered(stream, said) == b""


async def test_one_that_was_answered_may_not_be_silent_for_ever_either(connect: Connect) -> None:
    async with connect() as stream:
        assert (await answered(stream)).endswith(b"hello")
        assert await answered(stream, WHOLE[:-2]) == b""


@pytest.mark.parametrize("silent", [60.0])
async def test_a_connection_too_many_is_turned_away_until_another_has_ended(
    connect: Connect,
) -> None:
    async with connect() as first, connect() as second:
        assert (await answered(first)).endswith(b"hello")
        assert (await answered(second)).endswith(b"hello")
        async with connect() as third:
            assert await answered(third) == b""
        second[1].close()
        await second[1].wait_closed()
        async with asyncio.timeout(5):
            while True:
                async with connect() as fourth:
                    if (await answered(fourth)).endswith(b"hello"):
                        break
        assert await answered(first)
