"""Receivers that flood, in a process of their own.

python -m tests.bench.flooding    prints its port, then serves until its input is closed

`POST /NAME` gets the flood of that name.
"""

import asyncio
import logging
import os
import sys

import uvloop

OK = b"HTTP/1.1 200 OK\r\n"
FLOODS: dict[str, tuple[bytes, bytes, str]] = {
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, "protocol"),
    "answers": ((OK + b"Content-Length: 2\r\n\r\nok") * 20_000, b"", "200"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000, "200"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 5000, "200"),
    "headers": (OK, b"Connection: x\r\n" * 5000, "200"),
    "body": (OK + b"\r\n", b"x" * 65536, "200"),
    "junk": (b"", bytes(range(256)) * 256, "protocol"),
    "gone": (b"HTTP/1.1 410 Gone\r\nContent-Length: 2\r\n\r\n", b"x" * 65536, "410"),
    "later": (
        b"HTTP/1.1 429 Later\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"",
        "429",
    ),
    "upgrade": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"\x81\x05hello" * 2000,
        "101",
    ),
    "silent": (b"", b"", "timeout"),
    "drip": (b"", b"HTTP/1.1 200 OK", "timeout"),
    "unread": (b"", b"", "timeout"),
    "handshake": (b"", b"", "timeout"),
}
"""What is written once, what is written again and again until the connection is gone, the verdict.

`drip` writes a byte at a time, `unread` reads no body, and `handshake` never answers in TLS.
"""

DRIP_SECONDS = 0.3
UNREAD_SECONDS = 5.0
"""Longer than a POST waits for it."""


async def _flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        name = head.split()[1].decode()[1:]
        first, again, _ = FLOODS[name]
        if name == "unread":
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(UNREAD_SECONDS)
        writer.write(first)
        if not again:
            while await reader.read(65536):
                pass
        for at in range(len(again)) if name == "drip" else ():
            writer.write(again[at : at + 1])
            await asyncio.sleep(DRIP_SECONDS)
        while again:
            writer.write(again)
            await writer.drain()
    except (ConnectionError, RuntimeError, asyncio.IncompleteReadError, KeyError):
        pass
    finally:
        writer.close()


async def main() -> None:
    logging.disable()  # connections that break are what is asked for
    server = await asyncio.start_server(_flood, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


def at_idle_priority() -> None:
    """Leave the processor to others whenever they want it, if the system knows such a priority."""
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


if __name__ == "__main__":
    at_idle_priority()
    uvloop.run(main())
