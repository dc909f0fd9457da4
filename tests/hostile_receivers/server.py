"""Serve the catalogue, each behaviour at a port of its own."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from tests.certificates import Authority
from tests.hostile_receivers.behaviour import Behaviour
from tests.hostile_receivers.tls import context

BACKLOG = 1024
READ_BYTES = 256 * 1024
HANDSHAKE_SECONDS = 5.0


class _Hostile:
    """A listener that does the same on each of its connections."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._running: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        self._server = await asyncio.start_server(
            self._accept,
            sock=listener,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
            limit=READ_BYTES,
            backlog=BACKLOG,
        )

    async def end(self) -> None:
        if self._server is not None:
            self._server.close()
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        running = asyncio.get_running_loop().create_task(self._talk(reader, writer))
        self._running.add(running)
        running.add_done_callback(self._running.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # RuntimeError: uvloop's transports refuse to be written to once they are closed.
        with suppress(OSError, RuntimeError, asyncio.IncompleteReadError):
            try:
                await self._behaviour.talk(reader, writer)
            finally:
                writer.close()


@asynccontextmanager
async def served(
    behaviours: Mapping[str, Behaviour], authority: Authority, elsewhere: Path
) -> AsyncIterator[dict[str, str]]:
    """Yield the URL of each behaviour; `elsewhere` is a directory for an unknown authority."""
    hostile: list[_Hostile] = []
    urls: dict[str, str] = {}
    with ExitStack() as stack:
        try:
            for name, behaviour in behaviours.items():
                listener = stack.enter_context(_listener(behaviour, stack))
                scheme = "https" if behaviour.tls or behaviour.is_https else "http"
                urls[name] = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/"
                if not behaviour.listens:
                    hostile.append(_Hostile(behaviour))
                    known = context(behaviour.tls, authority, elsewhere)
                    await hostile[-1].start(listener, known)
            yield urls
        finally:
            for receiver in hostile:
                await receiver.end()


def _listener(behaviour: Behaviour, stack: ExitStack) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    listener.setblocking(False)
    if behaviour.listens == "full":
        listener.listen(0)
        for _ in range(3):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
    elif not behaviour.listens:
        listener.listen(BACKLOG)
    return listener
