"""Receivers that flood, in a process of their own.

python -m tests.bench.flooding    prints its port, then serves until its input is closed

`POST /NAME` gets the flood of that name.
"""

import asyncio
import os
import sys

import uvloop

from tests.receivers import read_request

OK = b"HTTP/1.1 200 OK\r\n"
FLOODS: dict[str, tuple[bytes, bytes]] = {
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
    "answers": ((OK + b"Content-Length: 2\r\n\r\nok") * 20_000, b""),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 10_000),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 5000),
    "headers": (OK, b"Connection: x\r\n" * 5000),
    "body": (OK + b"\r\n", b"x" * 65536),
    "junk": (b"", bytes(range(256)) * 256),
    "silent": (b"", b""),
}
"""What is written once, and what is written again and again until the connection is gone."""


async def _flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        head, _ = await read_request(reader)
        first, again = FLOODS[head.split()[1].decode()[1:]]
        writer.write(first)
        if not first + again:
            await reader.read()
        while again:
            writer.write(again)
            await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError, KeyError):
        pass
    finally:
        writer.close()


async def main() -> None:
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
