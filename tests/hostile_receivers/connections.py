"""Receivers that refuse, break off, do not read, or do not keep what they announce."""

import asyncio
import os
import socket

from tests.hostile_receivers.behaviour import (
    FINE,
    OK,
    SEGMENT_SECONDS,
    Behaviour,
    Talk,
    again_and_again,
    request,
    reset,
    resets_after,
    says,
    stay,
)

LARGE_BYTES = 8 * 1024 * 1024
"""A body that no buffers of the system hold."""
_KEPT = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\n\r\nok"

_STAGES = {
    "no-byte": (b"", "reset"),
    "half-a-word": (b"HTT", "reset"),
    "half-a-status": (b"HTTP/1.1 2", "reset"),
    "a-status": (b"HTTP/1.1 200 OK", "reset"),
    "the-status-line": (OK, "200"),
    "an-interim-answer": (b"HTTP/1.1 100 Continue\r\n\r\n", "reset"),
    "half-a-header": (OK + b"X-A", "200"),
    "the-head": (OK + b"Content-Length: 10\r\n\r\n", "200"),
    "half-the-body": (OK + b"Content-Length: 10\r\n\r\nab", "200"),
    "half-a-chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", "200"),
    "all": (FINE, "200"),
}
"""What is written before the end, and the verdict."""


async def _closes_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close without having read."""


async def _resets_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    reset(writer)


async def _never_reads(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(5)


async def _reads_slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(512):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.05)
        writer.transport.resume_reading()  # type: ignore[attr-defined]


def _answers_unread(answer: bytes) -> Talk:
    """Answer after the head of a request, and read no more."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(answer)
        await asyncio.sleep(3)

    return talk


async def _half_closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    writer.write_eof()
    await stay(reader)


async def _answers_and_half_closes(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    await request(reader)
    writer.write(OK + b"\r\nok")
    writer.write_eof()
    await stay(reader)


async def _urgent_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await request(reader)
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as same:
            same.send(b"!", socket.MSG_OOB)
        writer.write(FINE)


async def _speaks_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 Welcome\r\n")
    await stay(reader)


async def _answers_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the answer before the request, as a cache that is out of step would."""
    writer.write(FINE)
    await request(reader)


async def _too_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    await asyncio.sleep(1.5)
    writer.write(FINE)
    await stay(reader)


async def _closes_idle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await request(reader)
    writer.write(FINE)
    await asyncio.sleep(SEGMENT_SECONDS)


def _ends() -> dict[str, Behaviour]:
    closed = {
        f"closes-after-{name}": Behaviour(says(part, stays=False), verdict)
        for name, (part, verdict) in _STAGES.items()
    }
    broken = {
        f"resets-after-{name}": Behaviour(resets_after(part), verdict)
        for name, (part, verdict) in _STAGES.items()
    }
    return closed | broken


CONNECTIONS: dict[str, Behaviour] = {
    "refuses": Behaviour(_closes_at_once, "connect", listens="refuses"),
    "queue-full": Behaviour(_closes_at_once, "timeout|connect", listens="full"),
    "closes-at-once": Behaviour(_closes_at_once, "reset"),
    "resets-at-once": Behaviour(_resets_at_once, "reset|connect"),
    "resets-within-the-request": Behaviour(resets_after(b"", reads=10), "reset"),
    "resets-within-a-large-request": Behaviour(
        resets_after(b"", reads=100_000), "reset", body_bytes=LARGE_BYTES
    ),
    **_ends(),
    "never-reads": Behaviour(_never_reads, "timeout", body_bytes=LARGE_BYTES),
    "reads-slowly": Behaviour(_reads_slowly, "timeout", body_bytes=LARGE_BYTES),
    "refuses-a-large-request-unread": Behaviour(
        _answers_unread(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"),
        "413",
        body_bytes=LARGE_BYTES,
    ),
    "accepts-a-large-request-unread": Behaviour(
        _answers_unread(FINE), "200", body_bytes=LARGE_BYTES
    ),
    "half-closes": Behaviour(_half_closes, "reset"),
    "answers-and-half-closes": Behaviour(_answers_and_half_closes, "200"),
    "urgent-bytes": Behaviour(_urgent_bytes, "200"),
    "speaks-first": Behaviour(_speaks_first, "protocol|reset"),
    "answers-first": Behaviour(_answers_first, "200|reset"),
    "too-late": Behaviour(_too_late, "timeout"),
    "closes-idle": Behaviour(_closes_idle, "200"),
    "keeps-alive-once": Behaviour(again_and_again(FINE, closes=True), "200"),
    "keeps-alive-and-falls-silent": Behaviour(again_and_again(FINE), "200|timeout"),
    "keeps-alive-for-0-s": Behaviour(again_and_again(_KEPT % b"Keep-Alive: timeout=0"), "200"),
    "keeps-alive-for-ages": Behaviour(
        again_and_again(_KEPT % b"Keep-Alive: timeout=99999999999999, max=0", closes=True), "200"
    ),
    "keeps-alive-for-less-than-0-s": Behaviour(
        again_and_again(_KEPT % b"Keep-Alive: timeout=-5", closes=True), "200"
    ),
    "closes-though-it-keeps-alive": Behaviour(
        says(_KEPT % b"Connection: keep-alive", stays=False), "200"
    ),
    "keeps-alive-though-it-closes": Behaviour(says(_KEPT % b"Connection: close"), "200"),
    "answers-408-when-used-again": Behaviour(
        again_and_again(FINE, b"HTTP/1.1 408 Late\r\nConnection: close\r\n\r\n", closes=True), "200"
    ),
}
