"""From the INSERT call to the receiver's first byte, against a bare LISTEN-claim-POST script."""

import asyncio
from statistics import median, quantiles
from time import monotonic
from typing import Any

import asyncpg

from tests.bench import stage
from tests.bench.figures import Figure, Report

PAUSE = 0.02
"""Between two events: nothing is under way when the next is inserted."""
BUSY_RATE = 100
"""Events a second, for the latency of a daemon that is not idle."""
IDLE_SECONDS = 10.0
SETTLE_SECONDS = 3.0
"""Before the idle cost is measured: the last polling window and what follows an event are over."""

OURS = "INSERT INTO dispatcher.events (type, data) VALUES ('user.created', '{\"id\":\"usr_1\"}') RETURNING 'evt_' || id"
BARE = "WITH n AS (SELECT pg_notify('bare_queue', '')) INSERT INTO bare_queue (body) SELECT '{\"id\":\"usr_1\"}' FROM n RETURNING 'bare_' || id"


async def measure(dsn: str, *, rounds: int, number: int) -> Report:
    """Idle p50 and p99 of both and their ratios, ours at BUSY_RATE, and the CPU of an idle daemon."""
    ours: list[float] = []
    bare: list[float] = []
    async with stage.receiving() as receiver:
        created = stage.dispatcher(
            dsn, "webhook", "create", receiver.url, "--events", "*", "--json"
        )
        connection = await asyncpg.connect(dsn)
        server = stage.server_pid(await connection.fetchval("SHOW data_directory"))
        worker = stage.process("-m", "tests.bench.bare", "worker", receiver.url, dsn)
        async with worker as bare_worker, stage.sending(dsn) as daemon:
            assert bare_worker.stdout is not None
            await bare_worker.stdout.readline()
            for statement in (OURS, BARE):
                await _latencies(connection, receiver, statement, 50, PAUSE)
            for _ in range(rounds):  # in turn, so that both see the same machine
                bare += await _latencies(connection, receiver, BARE, number // rounds, PAUSE)
                ours += await _latencies(connection, receiver, OURS, number // rounds, PAUSE)
            busy = await _latencies(connection, receiver, OURS, number, 1 / BUSY_RATE)
            idle_share = await _idle(daemon, server)
        await connection.close()
        stage.dispatcher(dsn, "webhook", "delete", str(created["id"]))
    p50, p99 = median(ours) / median(bare), _p(ours, 99) / _p(bare, 99)
    lines = [
        f"  idle      p50 {_ms(median(ours))}  bare {_ms(median(bare))}  ratio {p50:.2f}",
        f"  idle      p99 {_ms(_p(ours, 99))}  bare {_ms(_p(bare, 99))}  ratio {p99:.2f}",
        f"  {BUSY_RATE}/s     p50 {_ms(median(busy))}  p95 {_ms(_p(busy, 95))}",
        f"  idle      {idle_share:.2%} of a core, daemon and PostgreSQL together",
    ]
    figures = [
        Figure("latency, idle, p50, against the bare LISTEN script", p50, "times", 1.5),
        Figure("latency, idle, p99, against the bare LISTEN script", p99, "times", 1.5),
        Figure(f"latency at {BUSY_RATE} events/s, p50", median(busy) * 1000, "ms", 4),
        Figure("CPU while idle, daemon and PostgreSQL", idle_share * 100, "% of a core", 1),
        Figure("latency, idle, p50", median(ours) * 1000, "ms"),
        Figure("latency of the bare LISTEN script, idle, p50", median(bare) * 1000, "ms"),
    ]
    return Report(lines, figures)


async def _idle(daemon: int, server: int) -> float:
    """Return the share of a core that daemon and PostgreSQL take without events."""
    await asyncio.sleep(SETTLE_SECONDS)
    pids = [daemon, server, *stage.children(server)]  # /proc/PID/stat counts in steps of 10 ms
    began, before = monotonic(), sum(map(stage.microseconds_on_cpu, pids))
    await asyncio.sleep(IDLE_SECONDS)
    spent = sum(map(stage.microseconds_on_cpu, pids)) - before
    return spent / 1e6 / (monotonic() - began)


async def _latencies(
    connection: "asyncpg.Connection[Any]",
    receiver: stage.Receiver,
    statement: str,
    number: int,
    pause: float,
) -> list[float]:
    await receiver.ask("times")
    called: dict[str, float] = {}
    for _ in range(number):
        at = monotonic()
        called[await connection.fetchval(statement)] = at
        await asyncio.sleep(max(0.0, at + pause - monotonic()))
    arrived: dict[str, float] = {}
    async with asyncio.timeout(stage.PATIENCE):
        while len(arrived) < number:
            await asyncio.sleep(0.05)
            arrived |= await receiver.ask("times")
    return [arrived[name] - at for name, at in called.items()]


def _p(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:6.2f} ms"
