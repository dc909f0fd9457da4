"""One way in which a receiver misbehaves, and the parts that such receivers are made of."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\n"
FINE = OK + b"Content-Length: 2\r\n\r\nok"
SEGMENT_SECONDS = 0.02
"""Between two parts of an answer, so that they arrive in segments of their own."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The actions of a receiver on each connection, and the right verdict of a POST to it.

    `verdict` is a status or an error code; with several, separated by `|`, each of them is right.
    `tls` names the server's TLS context, "" for none. With `is_https`, the URL is https all the
    same. `body_bytes` is the length of the request's body. `listens` is "refuses" if nothing
    listens at the port, and "full" if its queue of connections is full.
    """

    talk: Talk
    verdict: str
    tls: str = ""
    is_https: bool = False
    body_bytes: int = 64
    listens: str = ""


async def request(reader: asyncio.StreamReader) -> bytes:
    """Read one request, and return its head."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line[15:])
    await reader.readexactly(length)
    return head


async def stay(reader: asyncio.StreamReader) -> None:
    """Read until the peer has closed."""
    while await reader.read(65536):
        pass


def says(*parts: bytes, stays: bool = True) -> Talk:
    """Answer each request with the parts, in segments of their own; or one, and then close."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await request(reader)
            for at, part in enumerate(parts):
                if at:
                    await asyncio.sleep(SEGMENT_SECONDS)
                writer.write(part)
                await writer.drain()
            if not stays:
                return

    return talk


def repeats(first: bytes, again: bytes, *, every: float = 0.0) -> Talk:
    """Read a request, write `first`, then `again` and again until the connection is gone."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()
            await asyncio.sleep(every)

    return talk


def trickles(data: bytes, *, every: float, first: bytes = b"") -> Talk:
    """Read a request, write `first`, then a byte of `data` at a time, and stay."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(first)
        for at in range(len(data)):
            writer.write(data[at : at + 1])
            await asyncio.sleep(every)
        await stay(reader)

    return talk


def again_and_again(*answers: bytes, closes: bool = False) -> Talk:
    """Answer the requests of a connection one after another; then close, or stay silent."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await request(reader)
            writer.write(answer)
        if not closes:
            await stay(reader)

    return talk


def resets_after(part: bytes, *, reads: int = -1) -> Talk:
    """Read a request, or so many bytes of it, write `part`, and close with RST."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if reads < 0:
            await request(reader)
        else:
            await reader.readexactly(reads)
        if part:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(SEGMENT_SECONDS)
        reset(writer)

    return talk


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    writer.transport.abort()
