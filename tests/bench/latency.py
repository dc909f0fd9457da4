"""From the INSERT call to the receiver's first byte, against a bare LISTEN-claim-POST script.

And from the request that emits an event over HTTP.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median, quantiles
from time import monotonic
from typing import Any

import aiohttp
import asyncpg

from tests.bench import cpu, server_share, stage
from tests.bench.figures import Figure, Report

PAUSE = 0.02
"""Between two events: nothing is under way when the next is inserted."""
BUSY_RATE = 100
"""Events a second, for the latency of a daemon that is not idle."""
IDLE_SECONDS = 10.0
PORT = 18468
SETTLE_SECONDS = 8.0
"""Before the idle cost is measured: what follows a start is over, and the last polling window."""

OURS = "INSERT INTO dispatcher.events (type, data) VALUES ('user.created', '{\"id\":\"usr_1\"}') RETURNING 'evt_' || id"
BARE = "WITH n AS (SELECT pg_notify('bare_queue', '')) INSERT INTO bare_queue (body) SELECT '{\"id\":\"usr_1\"}' FROM n RETURNING 'bare_' || id"

EVENT = {"type": "user.created", "data": {"id": "usr_1"}}

Emit = Callable[[], Awaitable[str]]
"""Emits one event, and returns its id when it is committed."""


@dataclass(slots=True)
class Latencies:
    """Seconds from each INSERT call to the receiver's first byte, and to the answer of the INSERT."""

    first_bytes: list[float] = field(default_factory=list)
    inserts: list[float] = field(default_factory=list)

    def __iadd__(self, other: "Latencies") -> "Latencies":
        self.first_bytes += other.first_bytes
        self.inserts += other.inserts
        return self

    def percentile(self, percent: int) -> float:
        """Return seconds to the first byte."""
        return quantiles(self.first_bytes, n=100)[percent - 1]

    def ms(self, percent: int) -> float:
        """Return milliseconds to the first byte."""
        return self.percentile(percent) * 1000

    def parts(self) -> str:
        """Return the time of the INSERT, and that from its answer to the first byte, in words."""
        after = [byte - insert for byte, insert in zip(self.first_bytes, self.inserts, strict=True)]
        return (
            f"INSERT with commit {_ms(median(self.inserts))}, p99 {_ms(quantiles(self.inserts, n=100)[98])};"
            f" from its answer to the first byte {_ms(median(after))}, p99 {_ms(quantiles(after, n=100)[98])}"
        )


@dataclass(frozen=True, slots=True)
class Idle:
    """The share of a core that daemon and PostgreSQL take without events, and its parts."""

    share: float
    parts: str


async def measure(dsn: str, *, rounds: int, number: int) -> Report:
    """Idle p50 and p99 of both and their ratios, ours at BUSY_RATE, and the CPU of an idle daemon."""
    ours, bare = Latencies(), Latencies()
    token = stage.dispatcher(
        dsn, "token", "create", "--environment", "env_default", "--scope", "write", "--json"
    )["token"]
    async with stage.receiving() as receiver:
        created = stage.dispatcher(
            dsn, "webhook", "create", receiver.url, "--events", "*", "--json"
        )
        connection = await asyncpg.connect(dsn)
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        server = stage.server_pid(await connection.fetchval("SHOW data_directory"))
        worker = stage.process("-m", "tests.bench.bare", "worker", receiver.url, dsn)
        insert, insert_bare = (
            partial(connection.fetchval, statement) for statement in (OURS, BARE)
        )
        async with worker as bare_worker, stage.sending(dsn, admin_port=PORT) as daemon:
            assert bare_worker.stdout is not None
            await bare_worker.stdout.readline()
            idle = await _idle(daemon, server, connection)
            for emit in (insert, insert_bare):
                await _latencies(emit, receiver, 50, PAUSE)
            await connection.execute("SELECT pg_stat_statements_reset()")
            for _ in range(rounds):  # in turn, so that both see the same machine
                bare += await _latencies(insert_bare, receiver, number // rounds, PAUSE)
                ours += await _latencies(insert, receiver, number // rounds, PAUSE)
            statements = await server_share.times(connection)
            busy = await _latencies(insert, receiver, number, 1 / BUSY_RATE)
            http = await _http_latencies(receiver, token, number)
        await connection.close()
        stage.dispatcher(dsn, "webhook", "delete", str(created["id"]))
    return _report(ours, bare, (busy, http), idle, statements)


def _report(
    ours: Latencies,
    bare: Latencies,
    at_rate: tuple[Latencies, Latencies],
    idle: Idle,
    statements: list[str],
) -> Report:
    busy, http = at_rate
    p50, p99 = (ours.percentile(n) / bare.percentile(n) for n in (50, 99))
    lines = [
        f"  idle      p50 {_ms(ours.percentile(50))}  bare {_ms(bare.percentile(50))}  ratio {p50:.2f}",
        f"  idle      p99 {_ms(ours.percentile(99))}  bare {_ms(bare.percentile(99))}  ratio {p99:.2f}",
        f"  {BUSY_RATE}/s     p50 {_ms(busy.percentile(50))}  p95 {_ms(busy.percentile(95))}",
        f"  {BUSY_RATE}/s     p50 {_ms(http.percentile(50))}  p95 {_ms(http.percentile(95))}, over HTTP",
        f"  idle      {idle.share:.2%} of a core, daemon and PostgreSQL together: {idle.parts}",
    ]
    why = (f"ours: {ours.parts()}", f"bare: {bare.parts()}", *statements)
    figures = [
        Figure("latency, idle, p50, against the bare LISTEN script", p50, "times", 1.5, why=why),
        Figure("latency, idle, p99, against the bare LISTEN script", p99, "times", 1.5, why=why),
        Figure(f"latency at {BUSY_RATE} events/s, p50", busy.ms(50), "ms", 4, why=why),
        Figure(f"latency at {BUSY_RATE} events/s, p95", busy.ms(95), "ms"),
        Figure(f"latency at {BUSY_RATE} events/s over HTTP, p50", http.ms(50), "ms"),
        Figure(f"latency at {BUSY_RATE} events/s over HTTP, p95", http.ms(95), "ms"),
        Figure(
            "CPU while idle, daemon and PostgreSQL",
            idle.share * 100,
            "% of a core",
            1,
            why=(f"% of a core: {idle.parts}",),
        ),
        Figure("latency, idle, p50", ours.ms(50), "ms"),
        Figure("latency of the bare LISTEN script, idle, p50", bare.ms(50), "ms"),
    ]
    return Report([*lines, *why], figures)


async def _idle(daemon: int, server: int, connection: "asyncpg.Connection[Any]") -> Idle:
    """Return what daemon and PostgreSQL take without events: nothing was sent before."""
    await asyncio.sleep(SETTLE_SECONDS)
    pids = [daemon, server, *stage.children(server)]  # /proc/PID/stat counts in steps of 10 ms
    sessions = await cpu.by_session(connection)
    spent, ours, began = _on_cpu(pids), _on_cpu([daemon]), monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    taken = monotonic() - began
    spent, ours = _on_cpu(pids) - spent, _on_cpu([daemon]) - ours
    percent = taken * 1e4  # microseconds
    after = await cpu.by_session(connection)
    shares = {name: us - sessions.get(name, 0.0) for name, us in after.items()}
    parts = f"daemon {ours / percent:.2f}, {cpu.named(shares, percent, digits=2)}"
    return Idle(spent / taken / 1e6, parts)


def _on_cpu(pids: Sequence[int]) -> float:
    return sum(map(stage.microseconds_on_cpu, pids))


async def _http_latencies(receiver: stage.Receiver, token: str, number: int) -> Latencies:
    """Emit over one kept connection of an aiohttp client, at BUSY_RATE."""
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{PORT}", headers=headers) as session:

        async def emit() -> str:
            async with session.post("/api/events", json=EVENT, raise_for_status=True) as answer:
                event = await answer.json()
            return str(event["data"]["id"])

        await _latencies(emit, receiver, 50, PAUSE)
        return await _latencies(emit, receiver, number, 1 / BUSY_RATE)


async def _latencies(emit: Emit, receiver: stage.Receiver, number: int, pause: float) -> Latencies:
    await receiver.ask("times")
    called: dict[str, tuple[float, float]] = {}
    for _ in range(number):
        at = monotonic()
        name = await emit()
        called[name] = at, monotonic()
        await asyncio.sleep(max(0.0, at + pause - monotonic()))
    arrived: dict[str, float] = {}
    async with asyncio.timeout(stage.PATIENCE):
        while len(arrived) < number:
            await asyncio.sleep(0.05)
            arrived |= await receiver.ask("times")
    return Latencies(
        [arrived[name] - at for name, (at, _) in called.items()],
        [answered - at for at, answered in called.values()],
    )


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:6.2f} ms"
