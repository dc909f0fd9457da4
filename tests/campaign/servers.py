"""The database servers that campaigns are played on, durable all of them."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from dispatcher.embedded_postgres import binaries, process
from dispatcher.embedded_postgres.server import EmbeddedPostgres
from tests import network_server
from tests.stepped_clock import SteppedClock, stepped_clock

RULES = """
local all all trust
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
"""
COPIED_WITHIN_SECONDS = 60.0
BACKLOG = 2_000
"""Connections that fill the queue of a server that accepts none, in steps until one is not answered."""


class Server(Protocol):
    """The methods that each campaign needs of its server. `pid` is None while it does not run."""

    @property
    def dsn(self) -> str: ...

    @property
    def pid(self) -> int | None: ...

    def start(self) -> str: ...


def chosen_binaries() -> Path | None:
    """The directory of the PostgreSQL that was chosen; None for the one found first."""
    chosen = os.environ.get("DISPATCHER_TEST_BINARIES")
    return Path(chosen) if chosen else None


@contextmanager
def embedded(directory: Path) -> Iterator[EmbeddedPostgres]:
    """One that is reached by a socket."""
    with EmbeddedPostgres(directory / "postgres", binaries=chosen_binaries()) as server:
        yield server


@contextmanager
def roomy(directory: Path) -> Iterator[EmbeddedPostgres]:
    """One by a socket that has room for the connections of 24 cuts, as it never learns of these."""
    settings = {"max_connections": "300"}
    with EmbeddedPostgres(
        directory / "postgres", binaries=chosen_binaries(), settings=settings
    ) as server:
        yield server


class NetworkPostgres(EmbeddedPostgres):
    """One that listens on 127.0.0.1 as well."""

    def __init__(self, directory: Path) -> None:
        self.port = network_server.free_port()
        rules = directory.with_suffix(".hba")
        rules.write_text(RULES)
        rules.chmod(0o644)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "hba_file": str(rules),
            "max_connections": "100",
        }
        super().__init__(directory, binaries=chosen_binaries(), settings=settings)

    @property
    def dsn(self) -> str:
        return network_server.dsn(self.port)


@contextmanager
def networked(directory: Path) -> Iterator[NetworkPostgres]:
    with NetworkPostgres(directory / "postgres") as server:
        yield server


class ClockedPostgres(EmbeddedPostgres):
    """One whose clock can be set."""

    clock: SteppedClock

    def start(self) -> str:
        with stepped_clock(self._directory.parent) as self.clock:
            return super().start()


@contextmanager
def clocked(directory: Path) -> Iterator[ClockedPostgres]:
    with ClockedPostgres(directory / "postgres", binaries=chosen_binaries()) as server:
        yield server


# ── a primary and its standby ────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Node:
    """One server of two, on a port it keeps. A frozen one accepts connections and says nothing."""

    data: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def dsn(self) -> str:
        return network_server.dsn(self.port)

    def signal(self, number: signal.Signals) -> None:
        """To all of its processes, the one that starts the others first."""
        assert self.process is not None
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.process.send_signal(number)
        for child in path.read_text(encoding="ascii").split():
            os.kill(int(child), number)


class Pair:
    """A primary and a hot standby that has all that the primary ever called committed.

    `address` names both, for clients that look for the primary. Each port is one host: what stands
    in for it afterwards listens there.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with EmbeddedPostgres(directory / "a", binaries=chosen_binaries()):
            pass
        build = binaries.find(chosen_binaries())
        data = directory / "a" / f"pg{build.major}"
        self._account = binaries.account(data.stat().st_uid)
        self._found = binaries.reachable(build, self._account, directory)
        self._rules = directory / "hba.conf"
        self._rules.write_text(RULES)
        self._rules.chmod(0o644)
        self._waiting: list[socket.socket] = []
        self._copies = 0
        self.primary = Node(data, network_server.free_port())
        self.standby = Node(data, network_server.free_port())

    @property
    def dsn(self) -> str:
        return self.primary.dsn

    @property
    def address(self) -> str:
        ports = sorted((self.primary.port, self.standby.port))
        return f"postgresql://postgres@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/dispatcher"

    @property
    def pid(self) -> int | None:
        process = self.primary.process
        return process.pid if process and process.poll() is None else None

    def start(self) -> str:
        self._run(self.primary)
        return self.dsn

    async def replicate(self) -> None:
        """Make a standby of the primary; commits wait for it from here on."""
        self._copy()
        self._run(self.standby)
        connection = await asyncpg.connect(self.primary.dsn)
        attached = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming')"
        while not await connection.fetchval(attached):  # noqa: ASYNC110 - a view is waited for
            await asyncio.sleep(0.05)
        await connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()

    def fall_silent(self, *, unanswered: bool) -> None:
        """The primary says nothing any more; `unanswered`: new connections get no answer either."""
        self.primary.signal(signal.SIGSTOP)
        while unanswered and len(self._waiting) < BACKLOG:
            one = socket.socket()
            self._waiting.append(one)
            one.settimeout(0.2)
            try:
                one.connect(("127.0.0.1", self.primary.port))
            except TimeoutError:
                break

    async def promote(self) -> None:
        """The standby is the primary from here on."""
        connection = await asyncpg.connect(self.standby.dsn)
        await connection.fetchval("SELECT pg_promote()")
        await connection.close()
        self.primary, self.standby = self.standby, self.primary

    async def replace(self) -> None:
        """End the server that fell silent, and start a new standby in its place."""
        while self._waiting:
            self._waiting.pop().close()
        self._end(self.standby)
        await self.replicate()

    def stop(self) -> None:
        for node in (self.standby, self.primary):
            self._end(node)

    def _copy(self) -> None:
        self._copies += 1
        self.standby.data = self._directory / f"copy-{self._copies}"
        self.standby.data.mkdir(mode=0o700)
        os.chown(self.standby.data, self._account.uid, self._account.gid)
        subprocess.run(
            [
                self._found.directory / "pg_basebackup",
                "-D",
                self.standby.data,
                "-h",
                "127.0.0.1",
                "-p",
                str(self.primary.port),
                "-U",
                "postgres",
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            timeout=COPIED_WITHIN_SECONDS,
            **self._options(),
        )

    def _end(self, node: Node) -> None:
        if node.process is not None and node.process.poll() is None:
            node.signal(signal.SIGKILL)
            node.process.wait()

    def _run(self, node: Node) -> None:
        with (self._directory / f"{node.port}.log").open("ab") as log:
            node.process = subprocess.Popen(
                [
                    self._found.directory / "postgres",
                    "-D",
                    node.data,
                    "-k",
                    "",
                    "-h",
                    "127.0.0.1",
                    "-p",
                    str(node.port),
                    "-c",
                    f"hba_file={self._rules}",
                    "-c",
                    "wal_keep_size=512MB",
                    "-c",
                    "max_connections=60",
                    "-c",
                    "jit=off",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self._options(),
            )
        until = time.monotonic() + COPIED_WITHIN_SECONDS
        while not _ready(node):
            if time.monotonic() > until or node.process.poll() is not None:
                raise TimeoutError(f"the server on port {node.port} did not start")
            time.sleep(0.05)

    def _options(self) -> dict[str, Any]:
        return process.options(self._account, self._directory, [])


def _ready(node: Node) -> bool:
    """Return True if it lets clients in. A standby does so also while it recovers."""
    try:
        lines = (node.data / "postmaster.pid").read_text(encoding="ascii").split("\n")
    except FileNotFoundError:
        return False
    assert node.process is not None
    states = {"ready", "standby"}
    return lines[0] == str(node.process.pid) and len(lines) > 7 and lines[7].strip() in states


@contextmanager
def paired(directory: Path) -> Iterator[Pair]:
    pair = Pair(directory)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()
        for data in directory.glob("copy-*"):
            shutil.rmtree(data, ignore_errors=True)
