"""A PostgreSQL that listens on TCP, and what may stand before it: TLS, a pooler, silence."""

import asyncio
import os
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import asyncpg
import pytest

from dispatcher.embedded_postgres import binaries as binaries_module
from dispatcher.embedded_postgres.binaries import Account
from dispatcher.embedded_postgres.server import EmbeddedPostgres

RULES = """
local all all trust
host all secretive 127.0.0.1/32 scram-sha-256
host all rejected 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
"""
SSL_REQUEST = struct.pack("!ll", 8, 80_877_103)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number: int = taken.getsockname()[1]
        return number


def dsn(
    port: int | str,
    user: str = "postgres",
    password: str = "",
    database: str = "dispatcher",
    host: str = "127.0.0.1",
    **parameters: str,
) -> str:
    login = f"{quote(user)}:{quote(password, safe='')}" if password else quote(user)
    query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
    return f"postgresql://{login}@{host}:{port}/{database}{query}"


@dataclass(frozen=True)
class NetworkServer:
    """Listens on 127.0.0.1 by RULES, and on a socket where `postgres` may do anything."""

    superuser: str
    port: int
    directory: Path

    async def execute(self, *statements: str, database: str = "dispatcher") -> None:
        connection = await asyncpg.connect(dsn(self.port, database=database))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()


@contextmanager
def network_server(
    directory: Path, binaries: Path | None, *, keep: bool = False
) -> Iterator[NetworkServer]:
    """Start a server in a fresh directory, which is removed afterwards unless it is to `keep`."""
    directory.mkdir(mode=0o711)
    rules = directory / "hba.conf"
    rules.write_text(RULES)
    rules.chmod(0o644)
    port = free_port()
    network = {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(rules)}
    with EmbeddedPostgres(
        directory, binaries=binaries, settings={"fsync": "off", **network}
    ) as embedded:
        superuser = embedded.dsn.replace("port=5432", f"port={port}")
        yield NetworkServer(superuser, port, directory)
    if not keep:
        shutil.rmtree(directory, ignore_errors=True)


# ── what stands before it ────────────────────────────────────────────────────────────────────────


class TlsProxy:
    """Speaks TLS with clients, and passes on what they say. `context` may be changed at any time."""

    def __init__(self, context: ssl.SSLContext, server_port: int) -> None:
        self.context = context
        self.port = 0
        self._server_port = server_port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            asked = await reader.readexactly(8)
            if asked == SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(self.context)
                asked = b""
            inward, outward = await asyncio.open_connection("127.0.0.1", self._server_port)
            outward.write(asked)
            await asyncio.gather(_pump(reader, outward), _pump(inward, writer))
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def tls_proxy(context: ssl.SSLContext, server_port: int) -> AsyncIterator[TlsProxy]:
    proxy = TlsProxy(context, server_port)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = listening.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        listening.close()


class BlackHole:
    """Accepts connections on `port`, counts them, and never says a word."""

    def __init__(self) -> None:
        self.port = 0
        self.writers: list[asyncio.StreamWriter] = []

    @property
    def accepted(self) -> int:
        return len(self.writers)

    async def swallow(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)


@asynccontextmanager
async def black_hole() -> AsyncIterator[BlackHole]:
    hole = BlackHole()
    listening = await asyncio.start_server(hole.swallow, "127.0.0.1", 0)
    hole.port = listening.sockets[0].getsockname()[1]
    try:
        yield hole
    finally:
        listening.close()
        for writer in hole.writers:
            writer.close()


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose queue is full, so that the kernel drops each new SYN without an answer."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port: int = listening.getsockname()[1]
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        try:
            yield port
        finally:
            for one in waiting:
                one.close()


PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")


class PgBouncer:
    """A pooler in front of a server, on a port it keeps. It runs from `start` to `kill`."""

    def __init__(self, directory: Path, server_port: int, mode: str, **more: str) -> None:
        self.port = free_port()
        settings = {"pool_mode": mode, **more}
        self._file = _pgbouncer_file(directory, self.port, server_port, settings)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def dsn(self) -> str:
        return dsn(self.port)

    async def start(self) -> None:
        assert PGBOUNCER is not None
        self._process = await asyncio.create_subprocess_exec(
            PGBOUNCER, "-q", self._file, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        async with asyncio.timeout(30):
            while not await _answers(self.port):
                assert self._process.returncode is None, "pgbouncer ended"
                await asyncio.sleep(0.02)

    async def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()


@asynccontextmanager
async def pgbouncer(
    directory: Path, server_port: int, mode: str, **more: str
) -> AsyncIterator[int]:
    """A pooler in front of the server; yields its port."""
    pooler = PgBouncer(directory, server_port, mode, **more)
    try:
        await pooler.start()
        yield pooler.port
    finally:
        await pooler.kill()


def _pgbouncer_file(directory: Path, port: int, server_port: int, more: dict[str, str]) -> Path:
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    (directory / "users.txt").write_text('"postgres" ""\n')
    settings = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "trust",
        "auth_file": str(directory / "users.txt"),
        **({"user": "nobody"} if os.geteuid() == 0 else {}),
        **more,
    }
    lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
    file = directory / "pgbouncer.ini"
    file.write_text(f"[databases]\n* = host=127.0.0.1 port={server_port}\n[pgbouncer]\n{lines}\n")
    return file


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@asynccontextmanager
async def hot_standby(directory: Path, binaries: Path | None) -> AsyncIterator[int]:
    """A server in recovery that takes connections and reads; yields its port."""
    with network_server(directory, binaries, keep=True):
        pass
    build = binaries_module.find(binaries)
    data = directory / f"pg{build.major}"
    owner = data.stat()
    account = Account(data.owner(), owner.st_uid, owner.st_gid)
    build = binaries_module.reachable(build, account, directory)
    signal = data / "standby.signal"
    signal.touch()
    os.chown(signal, owner.st_uid, owner.st_gid)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(build.directory / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", ""),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=directory,
        user=owner.st_uid,
        group=owner.st_gid,
    )
    try:
        async with asyncio.timeout(60):
            while not await _lets_in(port):
                assert process.returncode is None, "the standby ended"
                await asyncio.sleep(0.05)
        yield port
    finally:
        process.kill()
        await process.wait()
        shutil.rmtree(directory, ignore_errors=True)


async def _lets_in(port: int) -> bool:
    try:
        connection = await asyncpg.connect(dsn(port))
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True
