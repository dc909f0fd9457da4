"""What a benchmark runs on: a database with fsync, a receiver and a daemon, each its own process."""

import asyncio
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from types import MappingProxyType
from typing import Any

import aiohttp
import asyncpg

from dispatcher.embedded_postgres.server import EmbeddedPostgres
from tests import waiting

PATIENCE = 60.0
KEY = token_hex(32)


@contextmanager
def database(**more: str) -> Iterator[str]:
    """A new cluster on disk, durable: what is measured is what a user gets. `more` are settings."""
    directory = Path(tempfile.mkdtemp(prefix="dispatcher-bench-"))
    directory.chmod(0o711)
    settings = {"shared_buffers": "256MB", "max_connections": "100", "max_wal_size": "4GB", **more}
    server = EmbeddedPostgres(directory / "postgres", settings=settings)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def environment(dsn: str) -> dict[str, str]:
    """For commands of the project: this database, this key, receivers on loopback."""
    return {
        **os.environ,
        "DISPATCHER_DATABASE__DSN": dsn,
        "DISPATCHER_SECRETS__KEY": KEY,
        "DISPATCHER_EGRESS__ALLOW": '["127.0.0.0/8"]',
        "DISPATCHER_ADMIN__PORT": "0",
        "DISPATCHER_LOG__LEVEL": "warning",
        "DISPATCHER_CONFIG": os.devnull,
    }


def dispatcher(dsn: str, *args: str) -> Any:
    """Run a command to its end; its JSON."""
    command = [sys.executable, "-m", "dispatcher", *args]
    done = subprocess.run(command, env=environment(dsn), check=True, capture_output=True)
    return json.loads(done.stdout) if "--json" in args else None


@asynccontextmanager
async def process(
    *command: str, env: dict[str, str] | None = None, python: str = sys.executable
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process that ends when its input is closed or, if it does not, by SIGTERM."""
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        python, *command, stdin=pipe, stdout=pipe, env=env, limit=2**24
    )
    try:
        yield started
    finally:
        assert started.stdin is not None
        started.stdin.close()
        if "dispatcher" in command:
            started.terminate()
        with suppress(ProcessLookupError, TimeoutError):
            async with asyncio.timeout(30):
                await started.wait()


@dataclass(slots=True)
class Receiver:
    """The cheap receiver (`tests.bench.receiver`) and what it counted.

    `inexact` is how many deliveries were lost or came twice so far.
    """

    url: str
    session: aiohttp.ClientSession
    pid: int
    inexact: int = 0

    async def ask(self, what: str) -> Any:
        async with self.session.get(f"{self.url}/{what}") as answer:
            return json.loads(await answer.read())

    async def compare(self, events: int, fan_out: int = 1) -> None:
        """Count what was lost or came twice, if so many events were all that was sent."""
        posts, different = await self.ask("count"), await self.ask("distinct")
        self.inexact += abs(posts - events * fan_out) + abs(different - events)

    async def counted(self, number: int, every: float = 0.02, within: float = PATIENCE) -> None:
        """Wait until so many POSTs were answered; TimeoutError after `within` seconds."""
        async with asyncio.timeout(within):
            while await self.ask("so-far") < number:  # noqa: ASYNC110 - asked of another process
                await asyncio.sleep(every)


@asynccontextmanager
async def receiving(certificate: Path | None = None) -> AsyncIterator[Receiver]:
    """The cheap receiver; with a certificate, by https. SSL_CERT_FILE names what is trusted."""
    command = ("-m", "tests.bench.receiver", *([str(certificate)] if certificate else []))
    context = ssl.create_default_context()
    async with (
        process(*command) as started,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session,
    ):
        assert started.stdout is not None
        port = int(await started.stdout.readline())
        scheme = "https" if certificate else "http"
        yield Receiver(f"{scheme}://127.0.0.1:{port}", session, started.pid)


@asynccontextmanager
async def sending(
    dsn: str, *, admin_port: int = 0, settings: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[int]:
    """A daemon; its process id. Ready when its heartbeat is in the database and it listens.

    `settings` are environment variables, without their prefix.
    """
    async with starting(dsn, admin_port=admin_port, settings=settings) as pid:
        connection = await asyncpg.connect(dsn)
        try:
            await until(
                connection,
                "SELECT count(*) = 64 AND (SELECT last_value > dispatcher.now_ms() FROM dispatcher.listen_until) "
                "FROM dispatcher.shards WHERE owner IS NOT NULL",
            )
        finally:
            await connection.close()
        yield pid


@asynccontextmanager
async def starting(
    dsn: str, *, admin_port: int = 0, settings: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[int]:
    """A daemon that may not be ready yet; its process id. `settings` are as for `sending`."""
    env = {
        **environment(dsn),
        "DISPATCHER_ADMIN__PORT": str(admin_port),
        **{f"DISPATCHER_{name}": value for name, value in settings.items()},
    }
    async with process("-m", "dispatcher", "run", env=env) as started:
        yield started.pid


async def until(
    connection: "asyncpg.Connection[Any]",
    question: str,
    every: float = 0.02,
    within: float = PATIENCE,
) -> None:
    """Wait until the database answers true; TimeoutError after `within` seconds."""
    await waiting.until(lambda: connection.fetchval(question), question, within=within, every=every)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kernel_seconds(pid: int) -> float:
    """System time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[12]) / os.sysconf("SC_CLK_TCK")


def microseconds_on_cpu(pid: int) -> float:
    """Return for how long a process has run; finer than `cpu_seconds`."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1000


def children_cpu_seconds(pid: int) -> float:
    """User and system time of the processes that a process has started, and of those that ended."""
    seconds = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == pid or int(stat.parent.name) == pid:
                seconds += sum(map(int, fields[11 : 15 if int(stat.parent.name) == pid else 13]))
    return seconds / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(fields[1]) == pid:
                pids.append(int(stat.parent.name))
    return pids


def server_pid(data_directory: str) -> int:
    """The process id of the PostgreSQL server of a data directory."""
    return int(Path(data_directory, "postmaster.pid").read_text(encoding="ascii").split()[0])
