"""Receivers that flood, stall or never read, a hundred at once beside a healthy one.

What is asserted is what we hold and decide, not how long it takes: the machine may be slow.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from dispatcher.core.model import Response, SendError
from dispatcher.transport.egress import Guard, parse_allow
from dispatcher.transport.exchange import PIECE_BYTES
from dispatcher.transport.sender import Sender
from tests.receivers import RawReceiver, Receiver, Script, read_request

# ruff: noqa: ASYNC110  a transport's buffer has no event
LIMIT = 16 * 1024
OK = b"HTTP/1.1 200 OK\r\n"
AT_ONCE = 100


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender(
        guard=Guard(parse_allow(["127.0.0.0/8"])),
        connect_timeout=10,
        body_limit=LIMIT,
        concurrency=32,
        user_agent="Test/1.0",
    ) as opened:
        yield opened


def floods(first: bytes, again: bytes) -> Script:
    """Read a request, and write as fast as it is taken until the connection is gone."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(first)
        while again:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(0)

    return script


FLOODS = {
    "100-for-ever": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, "protocol"),
    "102-for-ever": (b"", b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n" * 2000, "protocol"),
    "20000-answers": ((OK + b"Content-Length: 2\r\n\r\nok") * 20_000, b"", 200),
    "20000-answers-without-a-body": (b"HTTP/1.1 204 No\r\n\r\n" * 20_000, b"", 204),
    "chunks-of-one-byte": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000, 200),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 5000, 200),
    "gone-and-junk": (b"HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\n", b"x" * 65536, 410),
    "headers": (b"HTTP/1.1 503 No\r\n", b"Connection: x\r\n" * 5000, 503),
    "empty-lines": (b"", b"\r\n" * 20_000, "protocol"),
    "status-line": (b"HTTP/1.1 200 ", b"a" * 65536, 200),
    "body": (OK + b"\r\n", b"x" * 65536, 200),
    "length": (OK + b"Content-Length: 1000000000000\r\n\r\n", b"x" * 65536, 200),
    "nul": (OK, b"\x00" * 65536, 200),
}  # fmt: skip


@pytest.mark.parametrize(("first", "again", "verdict"), FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_gets_its_verdict_and_no_connection_stays(
    sender: Sender, first: bytes, again: bytes, verdict: int | str
) -> None:
    async with RawReceiver(floods(first, again)) as flooding, Receiver() as healthy:
        posts = [sender.post(flooding.url, {}, b"{}", timeout=30) for _ in range(AT_ONCE)]
        flood = asyncio.gather(*posts)
        beside = await sender.post(healthy.url, {}, b"{}", timeout=30)
        results = await flood
    assert isinstance(beside, Response)
    for result in results:
        if isinstance(verdict, str):
            assert isinstance(result, SendError)
            assert result.code == verdict
        else:
            assert isinstance(result, Response)
            assert result.status == verdict
            assert len(result.body) <= LIMIT
    await settled(sender, 1)


async def test_what_a_receiver_never_reads_waits_in_pieces(sender: Sender) -> None:
    arrived = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived += 1
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    body = b"x" * 32 * 1024 * 1024
    async with RawReceiver(script) as receiver:
        posts = [
            asyncio.create_task(sender.post(receiver.url, {}, body, timeout=30)) for _ in range(20)
        ]
        while arrived < len(posts) or any(
            connection._unwritten is None for connection in sender._connections._made
        ):
            await asyncio.sleep(0.01)
        waiting = [c.transport.get_write_buffer_size() for c in sender._connections._made]
        assert len(waiting) == len(posts)
        assert max(waiting) <= 2 * PIECE_BYTES
        for post in posts:
            post.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*posts)
    await settled(sender, 0)


async def settled(sender: Sender, connections: int) -> None:
    """Wait until so many connections are open."""
    async with asyncio.timeout(10):
        while len(sender._connections) != connections:
            await asyncio.sleep(0.01)
