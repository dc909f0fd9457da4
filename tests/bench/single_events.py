"""What single events cost in all: CPU of the daemon and of PostgreSQL from taking in to recording.

Producers insert one row a transaction, or POST one event: at a steady rate that leaves the machine idle at
times, so that hardly anything comes in batches, and each as fast as it gets its answers. The same INSERT
into a bare table shows what of its cost is ours: a process that often waits has cold caches.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from time import monotonic

import aiohttp
import asyncpg

from tests.bench import cpu, door, insert, stage, throughput
from tests.bench.figures import Figure, Report

RATES = {"at 1,000/s": 1_000.0, "at full load": 1e6}
"""Events a second that all producers try for, by name."""
SECONDS = 4.0
BARE_SECONDS = 2.0
WARM = 0.5
PRODUCERS = 16
PORT = 18468
INSERT = "INSERT INTO {} (type, data) VALUES ('user.created', $1)"
BY_INSERT, BY_HTTP = "single INSERT", "HTTP"
BARS = {BY_INSERT: 0.3, BY_HTTP: 0.8}
"""Seconds of CPU a thousand."""

Emit = Callable[[], Awaitable[object]]


async def measure(dsn: str) -> Report:
    """CPU seconds a thousand events, delivered once each."""
    token = stage.dispatcher(
        dsn, "token", "create", "--environment", "env_default", "--scope", "write", "--json"
    )["token"]
    figures = []
    async with stage.receiving() as receiver:
        webhook = throughput.subscribe(dsn, receiver)
        async with stage.sending(dsn, admin_port=PORT) as daemon:
            bare = await _bare(dsn)
            ours = _inserting(dsn, insert.TABLES["ours"])
            for name, producer in ((BY_INSERT, ours), (BY_HTTP, _posting(token))):
                async with producer as emits:
                    await _emit_all(dsn, receiver, daemon, emits, WARM, 1_000)  # plans, caches
                    for load, rate in RATES.items():
                        spent, number = await _emit_all(dsn, receiver, daemon, emits, SECONDS, rate)
                        note = _of_inserts(spent, number, bare[load]) if name == BY_INSERT else ""
                        figures.append(_figure(name, load, spent, number, note))
        stage.dispatcher(dsn, "webhook", "delete", webhook)
        figures.append(Figure("lost or repeated, single events", receiver.inexact, "deliveries", 0))
    return Report([figure.line() for figure in figures], figures)


async def _bare(dsn: str) -> dict[str, float]:
    """Return microseconds of the server an INSERT into a bare table, by load."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(insert.BARE)
    took = {}
    async with _inserting(dsn, insert.TABLES["bare"]) as emits:
        await asyncio.gather(*(_paced(emit, monotonic() + WARM, 1_000) for emit in emits))
        for load, rate in RATES.items():
            before, until = await cpu.by_session(connection), monotonic() + BARE_SECONDS
            number = sum(await asyncio.gather(*(_paced(emit, until, rate) for emit in emits)))
            after = await cpu.by_session(connection)
            took[load] = (after["producer"] - before["producer"]) / number
    await connection.execute("DROP TABLE bare_events")
    await connection.close()
    return took


def _of_inserts(spent: cpu.Spent, number: int, bare: float) -> str:
    insert_us = spent.sessions["producer"] / number
    return f", its INSERTs {insert_us:.0f} µs each, {bare:.0f} in a bare table"


def _figure(name: str, load: str, spent: cpu.Spent, number: int, note: str) -> Figure:
    why = (f"µs of CPU a delivery: {spent.of_each(number)}",)
    value = spent.microseconds / number / 1000
    note = f"{number / spent.at:,.0f}/s{note}"
    what = f"by {name} and delivered, {load}, CPU a 1,000"
    return Figure(what, value, "s", BARS[name], note=note, why=why)


async def _emit_all(
    dsn: str,
    receiver: stage.Receiver,
    daemon: int,
    emits: list[Emit],
    seconds: float,
    rate: float,
) -> tuple[cpu.Spent, int]:
    """Emit, and wait until all is recorded. Return what that cost, and how many events it was."""
    connection = await asyncpg.connect(dsn)
    await receiver.ask("count")
    await receiver.ask("distinct")
    before = await cpu.look(connection, {"daemon": daemon})
    began = monotonic()
    counts = await asyncio.gather(*(_paced(emit, began + seconds, rate) for emit in emits))
    await receiver.counted(sum(counts))
    await stage.until(connection, throughput.DONE)
    spent = (await cpu.look(connection, {"daemon": daemon})).since(before)
    await connection.close()
    await receiver.compare(sum(counts))
    return spent, sum(counts)


async def _paced(emit: Emit, until: float, rate: float) -> int:
    """Emit this producer's part of a rate, or fewer. Return how many events that were."""
    count, at = 0, monotonic()
    while max(at, monotonic()) < until:
        await emit()
        count += 1
        at += PRODUCERS / rate
        await asyncio.sleep(max(0.0, at - monotonic()))
    return count


@asynccontextmanager
async def _inserting(dsn: str, table: str) -> AsyncIterator[list[Emit]]:
    async with AsyncExitStack() as stack:
        emits: list[Emit] = []
        for _ in range(PRODUCERS):
            named = {"application_name": "producer"}
            connection = await asyncpg.connect(dsn, server_settings=named)
            stack.push_async_callback(connection.close)
            insert = await connection.prepare(INSERT.format(table))
            emits.append(partial(insert.fetch, throughput.DATA))
        yield emits


@asynccontextmanager
async def _posting(token: str) -> AsyncIterator[list[Emit]]:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=PRODUCERS)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def emit() -> None:
            url = f"http://127.0.0.1:{PORT}/api/events"
            async with session.post(url, data=door.EVENT) as answer:
                await answer.read()
                answer.raise_for_status()

        yield [emit] * PRODUCERS
