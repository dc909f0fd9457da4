"""The ceiling of one PostgreSQL: events are fanned out and recorded without being sent.

Several pairs of sessions in one process take events from the inbox and record an attempt of each delivery,
as a daemon does it, with the largest batches. Then the server is the limit, and not the network. The
driver's part of the CPU is shown: on a larger machine it would be on other cores.
"""

import asyncio
import os
from statistics import median
from time import monotonic, time
from typing import Any

import asyncpg

from dispatcher.core.model import Delivery, Outcome, Result, Sent
from dispatcher.engine.fanout.fanout import EVENTS_LIMIT, SMALL_BYTES
from dispatcher.store.connection.plan_settings import plan_settings
from dispatcher.store.queries.deliveries import Deliveries
from dispatcher.store.queries.inbox import DELIVERIES_LIMIT, Batch, Inbox
from dispatcher.store.session import Session
from tests.bench import cpu, shapes, stage, throughput
from tests.bench.figures import Figure, Report

PAIRS = (1, 2, 4)
EVENTS = 30_000
"""A round: they are in the inbox before it begins."""
DAEMON = 7
SENT = Sent("Dispatcher", 1_764_380_000)
ANSWERED = '[1,"text/plain",0,"2"]'
DELIVERED = Outcome(code="ok", error=None, state="DELIVERED", delay=None, rest=None, disable=None)
OWN = (
    "INSERT INTO dispatcher.daemons (id, renewed_at) VALUES ({0}, now()) ON CONFLICT DO NOTHING;"
    "UPDATE dispatcher.shards SET owner = {0}"
)


async def measure(dsn: str, *, rounds: int, events: int = EVENTS) -> Report:
    """Deliveries a second without sending, by pairs of sessions, on a database without a daemon."""
    webhook = stage.dispatcher(
        dsn, "webhook", "create", "http://127.0.0.1:18469/", "--events", "*", "--json"
    )
    connection = await asyncpg.connect(dsn)
    await connection.execute(OWN.format(DAEMON))
    lines, figures = [], []
    for pairs in PAIRS:
        turns = [await _turn(dsn, connection, pairs, events) for _ in range(rounds)]
        rate, server, driver = (median(samples) for samples in zip(*turns, strict=True))
        what = f"{pairs} pair{'s' * (pairs > 1)} of sessions"
        cores = (os.cpu_count() or 1) * 1e6 / server
        lines.append(
            f"  {what}: {rate:,.0f}/s, {server:.1f} µs of PostgreSQL a delivery and {driver:.1f} µs of the driver;"
            f" PostgreSQL alone on these cores: {cores:,.0f}/s"
        )
        figures += [
            Figure(f"without sending, deliveries/s, {what}", rate, "/s"),
            Figure(f"without sending, CPU of PostgreSQL a delivery, {what}", server, "µs"),
        ]
    await connection.execute("DELETE FROM dispatcher.daemons WHERE id = $1", DAEMON)
    await connection.close()
    stage.dispatcher(dsn, "webhook", "delete", str(webhook["id"]))
    return Report(lines, figures)


async def _turn(
    dsn: str, connection: "asyncpg.Connection[Any]", pairs: int, events: int
) -> tuple[float, float, float]:
    """Return deliveries a second, and microseconds a delivery of PostgreSQL and of the driver."""
    await connection.execute(shapes.INSERT, throughput.DATA, events, 1, timeout=stage.PATIENCE)
    sessions = [
        Session(dsn, name, settings={**plan_settings(name), "synchronous_commit": "off"})
        for _ in range(pairs)
        for name in ("fanout", "record")
    ]
    for session in sessions:
        await session.fetch("SELECT 1")
    before = await cpu.look(connection, {"driver": os.getpid()})
    began = monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(pairs):
            fan_out, record = sessions[2 * number : 2 * number + 2]
            group.create_task(_carry(Inbox(fan_out), Deliveries(record), number))
    rate = events / (monotonic() - began)
    spent = (await cpu.look(connection, {"driver": os.getpid()})).since(before)
    for session in sessions:
        await session.close()
    return (
        rate,
        sum(spent.sessions.values()) / events,
        spent.processes["driver"] / events,
    )


async def _carry(inbox: Inbox, deliveries: Deliveries, shard: int) -> None:
    """Fan out and record until the inbox is empty. The next events come while results are written."""
    recording: asyncio.Task[object] | None = None
    while True:
        batch = Batch(
            limit=EVENTS_LIMIT,
            shard=shard,
            daemon=DAEMON,
            saturated=[],
            after_id=0,
            deliveries_limit=DELIVERIES_LIMIT,
            small_bytes=SMALL_BYTES,
            small_ids=range(0),
        )
        fan_out = await inbox.fan_out_plain(**batch)
        if fan_out.is_unusual:  # another pair holds rows
            fan_out = await inbox.fan_out(**batch)
        if recording is not None:
            await recording
        if not fan_out.deliveries:
            return
        results = [_result(delivery) for delivery in fan_out.deliveries]
        recording = asyncio.create_task(deliveries.record(results))


def _result(delivery: Delivery) -> Result:
    return Result(delivery, DELIVERED, time(), 200, 1, SENT, ANSWERED, b"ok")
