"""Loads of another shape than 10,000 events of one type, against that: a burst, and many types.

Much at once must be sent as fast as a little, and a thousand types of events nearly as fast as one.
"""

from statistics import median
from time import monotonic
from typing import Any

import asyncpg

from tests.bench import stage, throughput
from tests.bench.figures import Figure, Report

BURST = 300_000
BURST_BAR = 0.9
TYPES = 1_000
TYPES_BAR = 0.8
A_SECOND = 1_000
"""Deliveries a second that are waited for, at least."""

INSERT = """
INSERT INTO dispatcher.events (type, data)
SELECT 'user.t' || n % $3::int, $1::json FROM generate_series(1, $2::int) AS n
"""


async def measure(dsn: str, *, rounds: int, number: int, burst: int = BURST) -> Report:
    """Return rates of both shapes, in turns with the usual one. The burst has one turn."""
    async with stage.receiving() as receiver:
        webhook = throughput.subscribe(dsn, receiver)
        connection = await asyncpg.connect(dsn)
        async with stage.sending(dsn):
            await rate(connection, receiver, number // 4)  # warm: plans, caches
            turns = [
                (
                    await rate(connection, receiver, number),
                    await rate(connection, receiver, number, types=TYPES),
                )
                for _ in range(rounds)
            ]
            before = await rate(connection, receiver, number)
            large = await rate(connection, receiver, burst)
            after = await rate(connection, receiver, number)
        await connection.close()
        stage.dispatcher(dsn, "webhook", "delete", webhook)
    lines = [f"  one type {one:,.0f}/s, {TYPES:,} types {many:,.0f}/s" for one, many in turns]
    lines.append(
        f"  {number:,} {before:,.0f}/s, {burst:,} {large:,.0f}/s, {number:,} {after:,.0f}/s"
    )
    ratio = median(many / one for one, many in turns)
    return Report(
        lines,
        [
            Figure(f"{TYPES:,} types against one", ratio, "times", TYPES_BAR, at_most=False),
            Figure(
                f"a burst of {burst:,} against {number:,}",
                large / median((before, after)),
                "times",
                BURST_BAR,
                at_most=False,
            ),
            Figure("lost or repeated, bursts and many types", receiver.inexact, "deliveries", 0),
        ],
    )


async def rate(
    connection: "asyncpg.Connection[Any]", receiver: stage.Receiver, number: int, *, types: int = 1
) -> float:
    """Return deliveries a second from the commit of one transaction to the last recorded attempt."""
    await receiver.ask("count")
    await receiver.ask("distinct")  # it keeps them until it is asked
    within = stage.PATIENCE + number / A_SECOND
    await connection.execute(INSERT, throughput.DATA, number, types, timeout=within)
    began = monotonic()
    await receiver.counted(number, within=within)
    await stage.until(connection, throughput.DONE, within=within)
    taken = monotonic() - began
    await receiver.compare(number)
    return number / taken
