"""Several daemons on one database: deliveries a second, and the CPU that each part takes.

The endpoints belong to shards of all daemons, and each event goes to one of them. On a machine with fewer
cores than daemons and PostgreSQL need, only the CPU says what a larger one could do.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median
from typing import Any

import asyncpg

from tests.bench import ceiling, quiet, shapes, stage
from tests.bench.figures import Figure, Report

NUMBERS = (1, 2, 4)
ENDPOINTS = 16
"""So many that each of four daemons has some."""
OWNERS = """
SELECT count(DISTINCT owner) = {0} AND max(shards) <= 2 * min(shards)
FROM (SELECT owner, count(*) AS shards FROM dispatcher.shards GROUP BY owner) AS owners
"""


async def measure(dsn: str, *, rounds: int, number: int) -> Report:
    """Return rates and CPU with one daemon, two and four, on a database without webhooks."""
    lines, figures = [], []
    unsent = await ceiling.measure(dsn, rounds=rounds)
    lines += unsent.lines
    figures += unsent.figures
    ceiling_rate = max(figure.value for figure in figures if figure.unit == "/s")
    await quiet.settle(dsn)
    async with stage.receiving() as receiver:
        for index in range(ENDPOINTS):
            events = f"user.t{index}"
            stage.dispatcher(dsn, "webhook", "create", receiver.url, "--events", events)
        connection = await asyncpg.connect(dsn)
        server = stage.server_pid(await connection.fetchval("SHOW data_directory"))
        for daemons in NUMBERS:
            async with AsyncExitStack() as stack:
                pids = [await stack.enter_async_context(stage.sending(dsn)) for _ in range(daemons)]
                await stage.until(connection, OWNERS.format(daemons))
                await shapes.rate(connection, receiver, number // 4, types=ENDPOINTS)
                turns = [
                    await _turn(connection, receiver, number, pids, server) for _ in range(rounds)
                ]
            rate, ours, servers = (median(samples) for samples in zip(*turns, strict=True))
            what = f"{daemons} daemon{'s' * (daemons > 1)}"
            lines.append(
                f"  {what}: {rate:,.0f}/s, {ours:.1f} µs of the daemons a delivery,"
                f" {servers:.1f} µs of PostgreSQL, {rate / ceiling_rate:.2f} of the ceiling"
            )
            figures += [
                Figure(f"deliveries/s, {what}", rate, "/s"),
                Figure(f"CPU of the daemons a delivery, {what}", ours, "µs"),
                Figure(f"CPU of PostgreSQL a delivery, {what}", servers, "µs"),
            ]
        figures.append(
            Figure("lost or repeated, several daemons", receiver.inexact, "deliveries", 0)
        )
        await connection.close()
    return Report(lines, figures)


async def _turn(
    connection: "asyncpg.Connection[Any]",
    receiver: stage.Receiver,
    number: int,
    daemons: Sequence[int],
    server: int,
) -> tuple[float, float, float]:
    """Return deliveries a second, and microseconds a delivery of the daemons and of PostgreSQL."""
    ours, servers = sum(map(stage.cpu_seconds, daemons)), stage.children_cpu_seconds(server)
    rate = await shapes.rate(connection, receiver, number, types=ENDPOINTS)
    ours = sum(map(stage.cpu_seconds, daemons)) - ours
    servers = stage.children_cpu_seconds(server) - servers
    return rate, ours / number * 1e6, servers / number * 1e6
