"""Where a campaign is played: a server with fsync on, a ledger receiver, daemons, producers."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from dispatcher.core import event_patterns
from dispatcher.encryption.cipher import Cipher
from dispatcher.store.migration.migrate import migrate
from tests.campaign.oracle import Fault, Findings, Post, judge, read_ledger
from tests.campaign.producer import INSERT, TYPES, Emitted, produce
from tests.campaign.receiver import Manner, Orders, orders_line
from tests.campaign.servers import Server
from tests.conftest import Connection, connected
from tests.end_to_end.stories import Story

ROOT = Path(__file__).parents[2]
KEY = bytes(range(32))
TIMEOUT = 5.0
CONCURRENCY = 64
SETTINGS = {
    "DISPATCHER_CONFIG": os.devnull,
    "DISPATCHER_EGRESS__ALLOW": '["127.0.0.0/8"]',
    "DISPATCHER_ADMIN__PORT": "0",
    "DISPATCHER_SECRETS__KEY": KEY.hex(),
    "DISPATCHER_DELIVERY__TIMEOUT": f"{TIMEOUT:g}s",
    "DISPATCHER_DELIVERY__CONCURRENCY": str(CONCURRENCY),
    "DISPATCHER_RETRY__BASE": "100ms",
    "DISPATCHER_RETRY__FACTOR": "2",
    "DISPATCHER_RETRY__CAP": "1s",
    "DISPATCHER_RETRY__RETRIES": "50",
    "DISPATCHER_LOG__FORMAT": "json",
    "DISPATCHER_LOG__LEVEL": "info",
}
PENDING = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid())
    OR EXISTS (SELECT FROM dispatcher.inbox)
    OR EXISTS (SELECT FROM dispatcher.replicated_events)
    OR EXISTS (SELECT FROM dispatcher.deliveries d
               JOIN dispatcher.endpoints e ON e.id = d.endpoint_id WHERE e.url NOT LIKE '%/held')
"""
"""Deliveries that are held because of their endpoint at `/held` stay.

A producer that is stopped in the middle of a COMMIT may have committed a moment later, so a transaction
that has written something is pending too.
"""
POISON = "poison."
"""How the types of events begin that cannot all be sent: the ledger's account is of the others."""
READY_WITHIN = 30.0
DRAINED_WITHIN = 60.0
PRODUCERS = 2

ENDPOINTS: Mapping[str, tuple[tuple[str, ...], Manner]] = {
    "/all": (("*",), Manner("")),
    "/users": (("user.*",), Manner("", delay=0.02)),
    "/flaky": (("user.created", "role.created"), Manner("", refuses=0.3)),
    "/slow": (("report.*",), Manner("", delay=0.25)),
}


class DaemonProcess:
    """`dispatcher run`, started; what it says is in a file."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self.log = log

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def killed(self) -> None:
        if self.alive:
            self._process.kill()
        await self._process.wait()

    async def ended(self, within: float) -> int:
        """Its exit code, once it has ended by itself."""
        return await asyncio.wait_for(self._process.wait(), within)


@dataclass(slots=True)
class Stage:
    """`count(long, short=…)` is how often a thing is done in a whole or a short campaign.

    `address` is where daemons find the database, if that is not the server itself; `replica` the
    share of transactions that producers make in the replica role.

    What a campaign notes while it plays: `broken` promises, seconds each of the `stops` took, the
    numbers of events committed `late`, and `marks`: events emitted just after a fault, with the time.
    """

    directory: Path
    server: Server
    chance: Random
    short: bool
    emitted: Emitted = field(default_factory=Emitted)
    faults: list[Fault] = field(default_factory=list)
    wanted: dict[str, list[str]] = field(default_factory=dict)
    posts: list[Post] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)
    late: set[int] = field(default_factory=set)
    marks: list[tuple[int, float]] = field(default_factory=list)
    address: str | None = None
    replica: float = 0.0
    story: Story | None = None
    port: int = 0
    _daemons: list[DaemonProcess] = field(default_factory=list)

    @property
    def dsn(self) -> str:
        return self.server.dsn

    def count(self, long: int, *, short: int) -> int:
        return short if self.short else long

    @property
    def patience(self) -> float:
        """By what limits of time are multiplied: short campaigns run beside other tests."""
        return 3.0 if self.short else 1.0

    async def pause(self, least: float, limit: float) -> None:
        """So many seconds; in a short campaign, half of that."""
        await asyncio.sleep(self.chance.uniform(least, limit) * (0.5 if self.short else 1.0))

    @staticmethod
    def now() -> float:
        return time.time()

    def fault(self, kind: str, *, cuts: bool = True, forgets: bool = False) -> float:
        """Note that something is being done now; answers with the time."""
        self.faults.append(Fault(self.now(), kind, cuts, forgets))
        return self.faults[-1].at

    async def daemon(self, *, ready: bool = True) -> DaemonProcess:
        """A new daemon, already sending unless `ready` is not waited for."""
        notify = self.directory / f"ready-{len(self._daemons)}"
        log = self.directory / f"daemon-{len(self._daemons)}.log"
        environ = {k: v for k, v in os.environ.items() if not k.startswith(("DISPATCHER_", "PG"))}
        environ |= SETTINGS
        environ |= {
            "DISPATCHER_DATABASE__DSN": self.address or self.dsn,
            "NOTIFY_SOCKET": str(notify),
        }
        loop = asyncio.get_running_loop()
        messages: asyncio.Queue[bytes] = asyncio.Queue()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Said(messages), local_addr=str(notify), family=socket.AF_UNIX
        )
        try:
            with log.open("wb") as output:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "dispatcher", "run"),
                    cwd=ROOT,
                    env=environ,
                    stdout=output,
                    stderr=output,
                )
            daemon = DaemonProcess(process, log)
            self._daemons.append(daemon)
            while ready and b"READY=1" not in await asyncio.wait_for(messages.get(), READY_WITHIN):
                pass
        finally:
            transport.close()
        return daemon

    @asynccontextmanager
    async def load(self, per_second: float = 200.0) -> AsyncIterator[None]:
        """Producers emit in here; afterwards everything they emitted is waited for."""
        producers = [
            asyncio.create_task(
                produce(
                    lambda: self.dsn,
                    self.emitted,
                    Random(self.chance.random()),
                    per_second=per_second / PRODUCERS,
                    replica=self.replica,
                )
            )
            for _ in range(PRODUCERS)
        ]
        try:
            yield
        finally:
            for producer in producers:
                if producer.done():
                    producer.result()  # raises what ended it
                producer.cancel()
            await asyncio.gather(*producers, return_exceptions=True)
        await self._drained()

    async def fetch(self, query: str, *args: object) -> list[Any]:
        async with connected(self.dsn) as connection:
            return await connection.fetch(query, *args)

    async def mark(self) -> int:
        """Emit an event now, by a connection of our own; return its number."""
        n: int = next(self.emitted.numbers)
        self.emitted.types[n] = "user.profile.changed"
        async with connected(self.dsn) as connection:
            self.marks.append((n, self.now()))
            await connection.execute(INSERT, self.emitted.types[n], json.dumps({"n": n}))
        self.emitted.committed.add(n)
        return n

    async def arrived(self, n: int, within: float) -> bool:
        """Return True if an event arrives in so many seconds."""
        until = time.monotonic() + within
        while time.monotonic() < until:
            ledger = (self.directory / "ledger").read_text(encoding="utf-8")
            if f'"n": {n},' in ledger:
                return True
            await asyncio.sleep(0.1)
        return False

    async def end(self) -> None:
        for daemon in self._daemons:
            await daemon.killed()

    async def verdict(self, *, frozen: bool = False, stepped: bool = False) -> Findings:
        """Once the receiver's ledger is closed."""
        posts = read_ledger(self.directory / "ledger")
        self.posts = [post for post in posts if not post.type.startswith(POISON)]
        stored = {
            r["n"]
            for r in await self.fetch(
                "SELECT CASE WHEN NOT starts_with(type, $1) THEN (data->>'n')::int END AS n"
                " FROM dispatcher.events",
                POISON,
            )
        }
        attempts = await self.fetch(
            "SELECT 'dlv_' || delivery_id AS delivery, attempt, outcome, state,"
            " extract(epoch FROM started_at)::float8 AS started,"
            " extract(epoch FROM next_at)::float8 AS next_at FROM dispatcher.attempts"
            " WHERE NOT starts_with(type, $1)",
            POISON,
        )
        longest = TIMEOUT + 1.0
        return judge(
            self.emitted, stored, self.wanted, self.posts, attempts, self.faults,
            longest=longest, frozen=frozen, stepped=stepped,
        )  # fmt: skip

    async def _drained(self) -> None:
        """TimeoutError: something is still pending long after the last fault."""
        async with asyncio.timeout(DRAINED_WITHIN), connected(self.dsn) as connection:
            times = 0
            # Twice: a COMMIT may end after the statement's snapshot and before it looks at sessions.
            while times < 2:
                times = 0 if await connection.fetchval(PENDING) else times + 1
                await asyncio.sleep(0.05)


class _Said(asyncio.DatagramProtocol):
    def __init__(self, messages: asyncio.Queue[bytes]) -> None:
        self._said = messages

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._said.put_nowait(data)


@asynccontextmanager
async def set_up(
    directory: Path, server: Server, chance: Random, *, short: bool
) -> AsyncIterator[Stage]:
    """A migrated database, endpoints, and the receiver; the ledger is closed at the end."""
    stage = Stage(directory, server, chance, short)
    async with AsyncExitStack() as stack:
        # Closed before anything is broken: its last statements would get no answer.
        async with connected(server.dsn) as connection:
            await _subscribe(stage, connection, stack)
        stack.push_async_callback(stage.end)
        yield stage


async def _subscribe(stage: Stage, connection: Connection, stack: AsyncExitStack) -> None:
    """Migrate, create the endpoints, and start the receiver that they are at."""
    await migrate(connection)
    await connection.execute(
        "UPDATE dispatcher.settings SET key_check = $1", Cipher(KEY).check_value()
    )
    story = Story(stage.dsn, connection, Cipher(KEY))
    manners, webhooks = {}, {}
    for path, (events, manner) in ENDPOINTS.items():
        webhook = await story.subscribe(f"http://127.0.0.1:8080{path}", *events)
        assert webhook.signing_secret is not None
        webhooks[path] = webhook
        manners[path] = Manner(webhook.signing_secret, manner.refuses, manner.delay)
        stage.wanted[path] = [t for t in TYPES if any(event_patterns.matches(p, t) for p in events)]
    orders = Orders(str(stage.directory / "ledger"), stage.chance.randrange(2**31), manners)
    port = stage.port = await stack.enter_async_context(_receiving(orders))
    stage.story = story
    for path, webhook in webhooks.items():
        await story.change(webhook.id, url=f"http://127.0.0.1:{port}{path}")


@asynccontextmanager
async def _receiving(orders: Orders) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.campaign.receiver"), cwd=ROOT, stdin=PIPE, stdout=PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(orders_line(orders))
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()
