"""From the INSERT call to the receiver's first byte, against a bare LISTEN-claim-POST script."""

import asyncio
from statistics import median, quantiles
from time import monotonic
from typing import Any

import asyncpg

from tests.bench import stage

PAUSE = 0.02
"""Between two events: nothing is under way when the next is inserted."""
BUSY_RATE = 200

OURS = "INSERT INTO dispatcher.events (type, data) VALUES ('user.created', '{\"id\":\"usr_1\"}') RETURNING 'evt_' || id"
BARE = "WITH n AS (SELECT pg_notify('bare_queue', '')) INSERT INTO bare_queue (body) SELECT '{\"id\":\"usr_1\"}' FROM n RETURNING 'bare_' || id"


async def measure(dsn: str, *, rounds: int, number: int) -> list[str]:
    """Lines of a report: idle p50 and p99 of both, the ratios, and ours at 200 events/s."""
    ours: list[float] = []
    bare: list[float] = []
    async with stage.receiving() as receiver:
        created = stage.dispatcher(
            dsn, "webhook", "create", receiver.url, "--events", "*", "--json"
        )
        connection = await asyncpg.connect(dsn)
        worker = stage.process("-m", "tests.bench.bare", "worker", receiver.url, dsn)
        async with worker as bare_worker, stage.sending(dsn):
            assert bare_worker.stdout is not None
            await bare_worker.stdout.readline()
            for statement in (OURS, BARE):
                await _latencies(connection, receiver, statement, 50, PAUSE)
            for _ in range(rounds):  # in turn, so that both see the same machine
                bare += await _latencies(connection, receiver, BARE, number // rounds, PAUSE)
                ours += await _latencies(connection, receiver, OURS, number // rounds, PAUSE)
            busy = await _latencies(connection, receiver, OURS, number, 1 / BUSY_RATE)
        await connection.close()
        stage.dispatcher(dsn, "webhook", "delete", str(created["id"]))
    return [
        f"  idle      p50 {_ms(median(ours))}  bare {_ms(median(bare))}  ratio {median(ours) / median(bare):.2f} (bar 2)",
        f"  idle      p99 {_ms(_p(ours, 99))}  bare {_ms(_p(bare, 99))}  ratio {_p(ours, 99) / _p(bare, 99):.2f} (bar 2)",
        f"  {BUSY_RATE}/s     p50 {_ms(median(busy))}  p95 {_ms(_p(busy, 95))} (bar 12 ms)",
    ]


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
