"""Requests wait for the end of a turn of the loop and go out one after another, and their heads."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from aiohttp import TCPConnector
from yarl import URL

from dispatcher.exchange import FRAMING, Connections, Outbox, Target


class Wire:
    """A transport that notes what is written to it."""

    def __init__(self, *, closing: bool = False) -> None:
        self.closing = closing
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        self.written.append(data)


def put(outbox: Outbox, wire: Wire, data: bytes) -> None:
    outbox.put(cast(asyncio.Transport, wire), data)


async def test_what_is_put_in_one_turn_is_written_at_its_end_in_order() -> None:
    outbox, wire = Outbox(), Wire()
    put(outbox, wire, b"one")
    put(outbox, wire, b"two")
    assert wire.written == []
    await asyncio.sleep(0)
    assert wire.written == [b"one", b"two"]


async def test_each_turn_is_written_by_itself() -> None:
    outbox, wire = Outbox(), Wire()
    for data in (b"one", b"two"):
        put(outbox, wire, data)
        await asyncio.sleep(0)
        assert wire.written[-1:] == [data]


async def test_a_connection_that_closed_meanwhile_keeps_nobody_else_waiting() -> None:
    outbox, gone, there = Outbox(), Wire(closing=True), Wire()
    put(outbox, gone, b"lost")
    put(outbox, there, b"kept")
    await asyncio.sleep(0)
    assert (gone.written, there.written) == ([], [b"kept"])


@pytest.fixture
async def connections() -> AsyncIterator[Connections]:
    connector = TCPConnector()
    yield Connections(
        connector,
        connect_timeout=1,
        content_limit=1024,
        defaults={"Accept": "*/*", "User-Agent": "Test/1.0"},
    )
    await connector.close()


def head(connections: Connections, headers: dict[str, str], *, keeps: bool = True) -> str:
    target = Target(URL("http://hooks.example.com:8080/in?a=%0A"))
    return connections.head(target, headers, 3, keeps=keeps).decode()


async def test_a_head_has_the_defaults_and_the_length(connections: Connections) -> None:
    assert head(connections, {"X-A": "b"}) == (
        "POST /in?a=%0A HTTP/1.1\r\nHost: hooks.example.com:8080\r\nAccept: */*\r\n"
        "User-Agent: Test/1.0\r\nX-A: b\r\nContent-Length: 3\r\n\r\n"
    )


async def test_the_last_on_a_connection_says_so(connections: Connections) -> None:
    assert head(connections, {}, keeps=False).endswith("\r\nConnection: close\r\n\r\n")


async def test_of_names_that_differ_in_case_the_last_is_sent(connections: Connections) -> None:
    sent = head(connections, {"x-a": "1", "USER-AGENT": "Mine", "accept": "a", "X-A": "2"})
    lines = sent.split("\r\n")[2:-3]
    assert lines == ["USER-AGENT: Mine", "accept: a", "X-A: 2"]


@pytest.mark.parametrize("name", sorted(FRAMING))
async def test_nobody_else_says_where_a_request_ends(connections: Connections, name: str) -> None:
    with pytest.raises(ValueError, match="not for others"):
        head(connections, {name.title(): "1"})


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\rb", "a\0b", "a\x7fb", "a\x1bb"])
async def test_control_characters_split_no_request(connections: Connections, bad: str) -> None:
    for headers in ({"X-A": bad}, {bad: "x"}):
        with pytest.raises(ValueError, match="control character"):
            head(connections, headers)
