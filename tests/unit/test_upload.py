"""Small requests wait for the end of a turn of the loop, and go out one after another."""

import asyncio
from typing import cast

from dispatcher.upload import Outbox


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
