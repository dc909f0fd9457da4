"""Receivers that flood, stall or never read, a hundred at once beside a healthy one.

What is asserted is what we hold and decide, not how long it takes: the machine may be slow.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dispatcher.core.model import Response, SendError
from dispatcher.transport.addresses.egress import Guard, parse_allow
from dispatcher.transport.exchanging.exchange import PIECE_BYTES
from dispatcher.transport.post import Post
from dispatcher.transport.sender import Sender
from tests.certificates import Authority
from tests.hostile_receivers.floods import FLOODS
from tests.hostile_receivers.server import served
from tests.receivers import RawReceiver, Receiver
from tests.waiting import until

LIMIT = 16 * 1024
AT_ONCE = 100


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender(
        guard=Guard(parse_allow(["127.0.0.0/8"])),
        connect_timeout=30,
        body_limit=LIMIT,
        concurrency=32,
        user_agent="Test/1.0",
    ) as opened:
        yield opened


@pytest.mark.parametrize("name", FLOODS)
async def test_each_post_of_a_flood_gets_its_outcome_and_no_connection_is_left(
    sender: Sender, authority: Authority, tmp_path: Path, name: str
) -> None:
    flood = FLOODS[name]
    async with served({name: flood}, authority, tmp_path) as urls, Receiver() as healthy:
        posts = [sender.post(Post(urls[name], {}, b"{}", timeout=30)) for _ in range(AT_ONCE)]
        flooding = asyncio.gather(*posts)
        beside = await sender.post(Post(healthy.url, {}, b"{}", timeout=30))
        results = await flooding
    assert isinstance(beside, Response)
    for result in results:
        if flood.verdict == "protocol":
            assert isinstance(result, SendError)
            assert result.code == flood.verdict
        else:
            assert isinstance(result, Response)
            assert result.status == int(flood.verdict)
            assert len(result.body) <= LIMIT
    await until(lambda: len(sender._connections) == 1, "one connection is open")


async def test_a_request_that_is_not_read_is_written_in_pieces(sender: Sender) -> None:
    arrived = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived += 1
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    body = b"x" * 32 * 1024 * 1024
    async with RawReceiver(script) as receiver:
        posts = [
            asyncio.create_task(sender.post(Post(receiver.url, {}, body, timeout=30)))
            for _ in range(20)
        ]
        await until(
            lambda: (
                arrived == len(posts)
                and all(c._unwritten is not None for c in sender._connections._made)
            ),
            "each request waits for its receiver",
        )
        waiting = [c.transport.get_write_buffer_size() for c in sender._connections._made]
        assert len(waiting) == len(posts)
        assert max(waiting) <= 2 * PIECE_BYTES
        for post in posts:
            post.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*posts)
    await until(lambda: len(sender._connections) == 0, "no connection is open")
