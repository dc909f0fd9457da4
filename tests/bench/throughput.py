"""Durable deliveries a second, end to end, against a bare client posting to the same receiver.

From the first INSERT to the last attempt recorded; both measured in turn, several times.
"""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from statistics import median
from time import monotonic
from typing import Any, NamedTuple

import asyncpg

from tests.bench import cpu, sampler, stage, yardsticks
from tests.bench.figures import Figure, Report

DATA = '{"id":"usr_1","first_name":"Jane","last_name":"Doe","email":"jane@example.com"}'
CONCURRENCY = 32
"""Of the bare client: as many as the daemon has in flight to one endpoint by default."""
A_TRANSACTION = 100
DONE = "SELECT NOT EXISTS (SELECT 1 FROM dispatcher.inbox) AND NOT EXISTS (SELECT 1 FROM dispatcher.deliveries)"


BARS = {1: 1.5, 10: 2.5}
"""Ours against the bare client, by fan-out."""
CPU_BARS_US = {1: 45}
OTHER_BARS = {"pgqueuer": 6.0, "procrastinate": 30.0}


async def measure(
    dsn: str, *, rounds: int, number: int, fan_out: int, python: str | None = None
) -> Report:
    """Deliveries a second in turn with the bare client and, if `python` has them, other queues."""
    names = OTHER_BARS if python and fan_out == 1 else ()
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(stage.receiving())
        others = [
            await stack.enter_async_context(yardsticks.working(python or "", name, dsn, receiver))
            for name in names
        ]
        webhooks = [subscribe(dsn, receiver) for _ in range(fan_out)]
        connection = await asyncpg.connect(dsn, server_settings={"application_name": "producer"})
        async with stage.sending(dsn) as daemon:
            await ours(connection, receiver, number // 4, fan_out)  # warm: plans, caches
            rates = _Rates()
            for _ in range(rounds):
                await rates.take_turns(connection, receiver, daemon, number, fan_out, others)
            why = await _shares(connection, receiver, daemon, number, fan_out)
        await connection.close()
        for webhook in webhooks:
            stage.dispatcher(dsn, "webhook", "delete", webhook)
    return rates.report(fan_out, why, receiver.inexact)


class _Rates:
    """The rates of all rounds, by name: `ours` and `bare` and the other queues."""

    def __init__(self) -> None:
        self.rates: dict[str, list[float]] = defaultdict(list)
        self.cpu: list[float] = []
        self.bare_us: list[float] = []

    async def take_turns(
        self,
        connection: "asyncpg.Connection[Any]",
        receiver: stage.Receiver,
        daemon: int,
        number: int,
        fan_out: int,
        others: Sequence[yardsticks.OtherQueue],
    ) -> None:
        rate, us = await _bare(receiver, number)
        self.rates["bare"].append(rate)
        self.bare_us.append(us)
        before = stage.cpu_seconds(daemon)
        self.rates["ours"].append(await ours(connection, receiver, number, fan_out))
        self.cpu.append((stage.cpu_seconds(daemon) - before) / number * 1e6)
        for other in others:
            self.rates[other.name].append(await other.rate())

    def report(self, fan_out: int, shares: "_Shares", inexact: int) -> Report:
        """Return rates and ratios; `shares` say why they are what they are."""
        what = f"deliveries/s, fan-out {fan_out}"
        rounds = zip(*self.rates.values(), self.cpu, strict=True)
        names = [*self.rates, "CPU a delivery, µs"]
        lines = [
            "  " + ", ".join(f"{name} {value:,.0f}" for name, value in zip(names, row, strict=True))
            for row in rounds
        ]
        figures = [
            Figure(f"{what}, {name}", median(rates), "/s") for name, rates in self.rates.items()
        ]
        bars = {"bare": BARS[fan_out], **OTHER_BARS}
        why = (*shares.lines, *self._needed(bars["bare"], shares.us))
        for name in [name for name in self.rates if name != "ours"]:
            ratio = median(o / t for o, t in zip(self.rates["ours"], self.rates[name], strict=True))
            figures.append(
                Figure(f"{what}, ours against {name}", ratio, "times", bars[name], False, why=why)
            )
        figures.append(
            Figure(
                f"CPU of the daemon a delivery, fan-out {fan_out}",
                median(self.cpu),
                "µs",
                CPU_BARS_US.get(fan_out),
                why=why,
            )
        )
        figures.append(Figure(f"lost or repeated, fan-out {fan_out}", inexact, "deliveries", 0))
        return Report(lines, figures)

    def _needed(self, bar: float, us: float) -> tuple[str, str]:
        """Return how much of the machine the bare client takes, and how much the bar would need."""
        bare, bare_us = median(self.rates["bare"]), median(self.bare_us)
        target = bar * bare
        return (
            f"the bare client takes {bare_us:.0f} µs a POST, and so one core at {bare:,.0f}/s",
            f"{bar} times that is {target:,.0f}/s, which would take {target * us / 1e6:.2f} cores",
        )


class _Shares(NamedTuple):
    """The parts of a delivery by process, as lines, and its microseconds in all."""

    lines: tuple[str, ...]
    us: float


async def _shares(
    connection: "asyncpg.Connection[Any]",
    receiver: stage.Receiver,
    daemon: int,
    number: int,
    fan_out: int,
) -> _Shares:
    """Count the CPU of all parts in a round of its own, and take samples of the daemon in another."""
    pids = {"daemon": daemon, "receiver": receiver.pid, "producer": os.getpid()}
    before = await cpu.look(connection, pids)
    rate = await ours(connection, receiver, number, fan_out)
    spent = (await cpu.look(connection, pids)).since(before)
    async with sampler.sampling(daemon) as profile:
        await ours(connection, receiver, number, fan_out)
    lines = (
        f"µs of CPU a delivery: {spent.of_each(number)}",
        f"at {rate:,.0f}/s that is {spent.of_machine()}",
        *profile,
    )
    return _Shares(lines, spent.microseconds / number)


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
    connection: "asyncpg.Connection[Any]",
    receiver: stage.Receiver,
    number: int,
    fan_out: int,
    *,
    done: str = DONE,
) -> float:
    """Deliveries a second. The producer inserts in transactions, as fast as it can.

    `done` is a query that is true when all are recorded.
    """
    await receiver.ask("count")
    await receiver.ask("distinct")
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
    await stage.until(connection, done)
    rate = number / (monotonic() - began)
    await receiver.compare(events, fan_out)
    return rate


if __name__ == "__main__":  # one configuration, for profiling
    with stage.database() as place:
        stage.dispatcher(place, "migrate")
        report = asyncio.run(measure(place, rounds=3, number=10_000, fan_out=1))
        sys.stdout.write("\n".join([*report.lines, *(figure.line() for figure in report.figures)]))
