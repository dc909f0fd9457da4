"""Between daemons and their database: connections that stay open and lead nowhere."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit


@dataclass(eq=False)
class _Way:
    """One connection; `name` is what its client called itself."""

    name: str
    open: asyncio.Event = field(default_factory=asyncio.Event)


class Proxy:
    """Between daemons and their database. `cut` leaves connections open that lead nowhere."""

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        self._directory = parse_qs(parts.query)["host"][0]
        self._port = parse_qs(parts.query).get("port", ["5432"])[0]
        self._name = parts.path
        self._ways: set[_Way] = set()
        self._server: asyncio.Server
        self._pumps: set[asyncio.Task[None]] = set()
        self.opened = 0
        self.answered = asyncio.Event()
        """Set when the server has answered something: clear it to wait for the next answer."""

    @property
    def dsn(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return f"postgresql://postgres@127.0.0.1:{port}{self._name}?sslmode=disable"

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def cut(self, session: str = "") -> int:
        """Silence the present connections, or those of one session of the daemons.

        New ones carry bytes again. Return the number of silenced connections.
        """
        cut = {way for way in self._ways if not session or way.name == f"dispatcher/{session}"}
        for way in cut:
            way.open.clear()
        self._ways -= cut
        return len(cut)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        path = f"{self._directory}/.s.PGSQL.{self._port}"
        to_server, from_server = await asyncio.open_unix_connection(path)
        first = await reader.read(65_536)
        from_server.write(first)
        way = _Way(_name_in(first))
        way.open.set()
        self._ways.add(way)
        for source, sink, on_sent in (
            (reader, from_server, lambda: None),
            (to_server, writer, self.answered.set),
        ):
            pump = asyncio.create_task(self._pump(source, sink, way, on_sent))
            self._pumps.add(pump)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        way: _Way,
        on_sent: Callable[[], object],
    ) -> None:
        try:
            while chunk := await source.read(65_536):
                await way.open.wait()
                sink.write(chunk)
                on_sent()
                await sink.drain()
        except OSError:
            pass
        finally:
            self._ways.discard(way)
            sink.close()


def _name_in(startup: bytes) -> str:
    """Return the application's name in a startup message, or nothing."""
    fields = startup[8:].split(b"\0")
    return dict(zip(fields[::2], fields[1::2], strict=False)).get(b"application_name", b"").decode()
