"""A receiver in a process of its own that costs little: it counts POSTs and answers 200.

    python -m tests.bench.receiver [CERTIFICATE]   prints its port, then serves until its input is closed

`GET /count` answers how many POSTs were answered since the last `GET /count`, `GET /so-far` the
same without starting again; `GET /times` the arrival times by `webhook-id` since the last `GET /times`, in seconds of the monotonic
clock, which is the machine's and so the same in every process; `GET /distinct` how many they are, instead of them.
"""

import asyncio
import json
import ssl
import sys
from time import monotonic
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"


class State:
    def __init__(self) -> None:
        self.count = 0
        self.times: dict[str, float] = {}


class Receiver(asyncio.Protocol):
    """Just enough HTTP/1.1 for a client that sends a Content-Length and does not pipeline."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.buffer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, rest = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        lowered = head.lower()
        at = lowered.find(b"content-length:")
        length = int(lowered[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(rest) < length:
            return
        self.buffer = rest[length:]
        if head.startswith(b"POST"):
            self.state.count += 1
            self._note(head, lowered)
            self.transport.write(ANSWER)
        else:
            self.transport.write(self._report(head))

    def _note(self, head: bytes, lowered: bytes) -> None:
        at = lowered.find(b"webhook-id:")
        if at >= 0:
            name = head[at + 11 :].split(b"\r\n", 1)[0].strip().decode()
            self.state.times.setdefault(name, monotonic())

    def _report(self, head: bytes) -> bytes:
        if head.startswith(b"GET /so-far"):
            body = json.dumps(self.state.count)
        elif head.startswith(b"GET /count"):
            body, self.state.count = json.dumps(self.state.count), 0
        elif head.startswith(b"GET /distinct"):
            body, self.state.times = json.dumps(len(self.state.times)), {}
        else:
            body, self.state.times = json.dumps(self.state.times), {}
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def main(certificate: str | None = None) -> None:
    loop = asyncio.get_running_loop()
    state = State()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await loop.create_server(lambda: Receiver(state), "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
