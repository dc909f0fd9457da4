"""Durable deliveries a second, end to end, against a bare client posting to the same receiver.

From the first INSERT to the last attempt recorded; both measured in turn, several times.
"""

import asyncio
import sys
from statistics import median
from time import monotonic
from typing import Any

import asyncpg

from tests.bench import stage

DATA = '{"id":"usr_1","first_name":"Jane","last_name":"Doe","email":"jane@example.com"}'
CONCURRENCY = 32
"""Of the bare client: as many as the daemon has in flight to one endpoint by default."""
A_TRANSACTION = 100

DONE = "SELECT NOT EXISTS (SELECT 1 FROM dispatcher.inbox) AND NOT EXISTS (SELECT 1 FROM dispatcher.deliveries)"


async def measure(dsn: str, *, rounds: int, number: int, fan_out: int) -> list[str]:
    """Lines of a report: one a round, and the median ratio."""
    lines = []
    ratios = []
    async with stage.receiving() as receiver:
        webhooks = [subscribe(dsn, receiver) for _ in range(fan_out)]
        connection = await asyncpg.connect(dsn)
        async with stage.sending(dsn) as daemon:
            await ours(connection, receiver, number // 4, fan_out)  # warm: plans, caches
            for _ in range(rounds):
                bare_rate, bare_cpu = await _bare(receiver, number)
                before = stage.cpu_seconds(daemon)
                rate = await ours(connection, receiver, number, fan_out)
                cpu = (stage.cpu_seconds(daemon) - before) / number * 1e6
                ratios.append(rate / bare_rate)
                lines.append(
                    f"  fan-out {fan_out:>2}: {rate:7.0f}/s, bare {bare_rate:7.0f}/s, ratio {ratios[-1]:.2f}"
                    f"   (CPU a delivery {cpu:.0f} µs, a bare POST {bare_cpu:.0f} µs)"
                )
        await connection.close()
        for webhook in webhooks:
            stage.dispatcher(dsn, "webhook", "delete", webhook)
    return [*lines, f"  fan-out {fan_out:>2}: median ratio {median(ratios):.2f} (bar 0.70)"]


def subscribe(dsn: str, receiver: stage.Receiver) -> str:
    """Create a webhook for all events; its id."""
    created = stage.dispatcher(dsn, "webhook", "create", receiver.url, "--events", "*", "--json")
    return str(created["id"])


async def _bare(receiver: stage.Receiver, number: int) -> tuple[float, float]:
    """POSTs a second, and microseconds of CPU a POST."""
    command = ("-m", "tests.bench.bare", "posts", receiver.url, str(number), str(CONCURRENCY))
    async with stage.process(*command) as client:
        assert client.stdout is not None
        seconds, cpu = map(float, (await client.stdout.read()).split())
    return number / seconds, cpu / number * 1e6


async def ours(
    connection: "asyncpg.Connection[Any]", receiver: stage.Receiver, number: int, fan_out: int
) -> float:
    """Deliveries a second. The producer inserts in transactions, as fast as it can."""
    await receiver.ask("count")
    events = number // fan_out
    began = monotonic()
    for inserted in range(0, events, A_TRANSACTION):
        await connection.execute(
            "INSERT INTO dispatcher.events (type, data) SELECT 'user.created', $1::json FROM generate_series(1, $2::int)",
            DATA,
            min(A_TRANSACTION, events - inserted),
        )
    # The database is not asked until all have arrived: it has better things to do.
    await receiver.counted(events * fan_out)
    await stage.until(connection, DONE)
    rate = number / (monotonic() - began)
    if (counted := await receiver.ask("count")) != events * fan_out:
        raise AssertionError(f"{counted} POSTs arrived, expected {events * fan_out}")
    return rate


if __name__ == "__main__":  # one configuration, for profiling
    with stage.database() as place:
        stage.dispatcher(place, "migrate")
        sys.stdout.write("\n".join(asyncio.run(measure(place, rounds=3, number=10_000, fan_out=1))))
